/**
 * @file Finds every tensor a model needs among those of its files, whatever prefix they leave out, and tells every
 * mismatch at once. Must not know how files are read.
 */
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import type { DType } from '../tensor/dtype.ts'
import type { Model } from './model.ts'
import type { ModuleInfo } from './modules.ts'

/** What a file says of a tensor. */
interface Found {
  readonly shape: readonly number[]
  readonly dtype: DType
}

/** Types a model's weights may be stored in. */
const FLOATS: ReadonlySet<DType> = new Set(['f32', 'f16', 'bf16'])

export interface BoundWeights<T> {
  /** Tensors by the names the model has for them: tied heads borrow, so theirs are not among them. */
  readonly bound: Map<string, T>
  /** Modules above the last hidden state that the files do not hold: a classifier not trained yet. */
  readonly fresh: readonly ModuleInfo[]
}

/**
 * Whose head the files hold, where they hold one: the model's `own`; that of the config, where the model was `given`
 * another, so that tensors of other shapes are not its; or one to be left for a `new` one.
 */
export type HeadInFiles = 'own' | 'given' | 'new'

/** @throws LowrankError `format` naming every tensor that is missing, misshapen or of integers */
export function bindWeights<T extends Found>(
  model: Model,
  tensors: ReadonlyMap<string, T>,
  folder: string,
  head: HeadInFiles = 'own',
): BoundWeights<T> {
  const bound = new Map<string, T>()
  const fresh: ModuleInfo[] = []
  const missing: string[] = []
  const misshapen: string[] = []
  for (const module of model.modules) {
    const own = module.parameters.filter(({ name }) => !(module.tiedTo !== undefined && name === 'weight'))
    const found = own.map((parameter) => ({
      ...parameter,
      held: find(model, tensors, `${module.path}.${parameter.name}`),
    }))
    const fits = ({ shape, held }: (typeof found)[number]): boolean => String(held?.shape) === String(shape)
    const isOthers = module.isTaskHead === true && (head === 'new' || (head === 'given' && !found.every(fits)))
    if (own.length > 0 && mayBeFresh(model, module) && (isOthers || found.every(({ held }) => !held))) {
      fresh.push(module)
      continue
    }
    for (const { name, shape, held } of found) {
      const full = `${module.path}.${name}`
      if (!held) missing.push(full)
      else if (String(held.shape) !== String(shape))
        misshapen.push(
          `${full} is [${held.shape}], ${module.isTaskHead ? 'and the labels ask' : 'config.json asks'} for [${shape}]`,
        )
      else if (!FLOATS.has(held.dtype)) misshapen.push(`${full} is of type ${held.dtype}, not a float`)
      else bound.set(full, held)
    }
  }
  if (missing.length + misshapen.length > 0) throw mismatch(missing, misshapen, [...tensors.keys()], folder)
  return { bound, fresh }
}

/** A language model without its head is a broken file; a classifier without its own is one to be trained. */
function mayBeFresh({ spec }: Model, { isAbove }: ModuleInfo): boolean {
  return isAbove === true && spec.labels.length > 0
}

function find<T>(model: Model, tensors: ReadonlyMap<string, T>, full: string): T | undefined {
  const listed = model.fileName(full)
  const names = [listed, withoutPrefix(listed, model.prefix), full].flatMap((name) => [name, olderName(name)])
  for (const name of names) if (tensors.has(name)) return tensors.get(name)
  return undefined
}

/** Files converted from TensorFlow call a norm's weight gamma and its bias beta. */
function olderName(name: string): string {
  return name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta')
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
