/**
 * @file Finds every tensor a model needs among those of its files, whatever prefix they leave out, and tells every
 * mismatch at once. Must not know how files are read.
 */
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import type { DType } from '../tensor/dtype.ts'
import type { Model } from './causal-lm.ts'

/** What a file says of a tensor. */
interface Found {
  readonly shape: readonly number[]
  readonly dtype: DType
}

/** Types a model's weights may be stored in. */
const FLOATS: ReadonlySet<DType> = new Set(['f32', 'f16', 'bf16'])

/** Tensors by the names the model has for them: tied heads borrow, so theirs are not among them. */
export function bindWeights<T extends Found>(
  model: Model,
  tensors: ReadonlyMap<string, T>,
  folder: string,
): Map<string, T> {
  const bound = new Map<string, T>()
  const missing: string[] = []
  const misshapen: string[] = []
  for (const { path, parameters, tiedTo } of model.modules) {
    for (const { name, shape } of parameters) {
      if (tiedTo !== undefined && name === 'weight') continue
      const full = `${path}.${name}`
      const found = tensors.get(full) ?? tensors.get(withoutPrefix(full, model.prefix))
      if (!found) missing.push(full)
      else if (String(found.shape) !== String(shape))
        misshapen.push(`${full} is [${found.shape}], config.json asks for [${shape}]`)
      else if (!FLOATS.has(found.dtype)) misshapen.push(`${full} is of type ${found.dtype}, not a float`)
      else bound.set(full, found)
    }
  }
  if (missing.length + misshapen.length > 0) throw mismatch(missing, misshapen, [...tensors.keys()], folder)
  return bound
}

/** GPT-2's published files say `wte.weight` for `transformer.wte.weight`. */
function withoutPrefix(name: string, prefix: string): string {
  return name.startsWith(`${prefix}.`) ? name.slice(prefix.length + 1) : name
}

const SHOWN = 5

function mismatch(
  missing: readonly string[],
  misshapen: readonly string[],
  names: readonly string[],
  folder: string,
): LowrankError {
  const some = (list: readonly string[]): string =>
    list.slice(0, SHOWN).join('; ') + (list.length > SHOWN ? `; and ${list.length - SHOWN} more` : '')
  const parts = [
    ...(missing.length > 0 ? [`${missing.length} missing: ${some(missing)}`] : []),
    ...(misshapen.length > 0 ? [`${misshapen.length} of another shape or type: ${some(misshapen)}`] : []),
  ]
  const [close] = missing[0] === undefined ? [] : nearest(missing[0], names)
  return new LowrankError('format', `${folder}: the weights do not fit config.json (${parts.join('; ')})`, {
    file: folder,
    field: missing[0] ?? misshapen[0]?.split(' ')[0],
    suggestion: close && `the nearest tensor is ${close}`,
  })
}
