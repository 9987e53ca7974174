/** @file `factorize`: matrices of a file as products of two factors. Must not know a terminal, or the maths of it. */
import { resolveOptions } from '../config/resolve.ts'
import type { FactorizeOptions } from '../config/verbs/index.ts'
import { writeSafetensors } from '../formats/tensor-files.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind } from '../support/files.ts'
import { f32, type HostTensor } from '../tensor/host-tensor.ts'
import type { FactorizedTensor, FactorizeResult } from './algebra-types.ts'
import type { Watched } from './evaluate.ts'
import { factorizeMatrix } from './factorize/factorize-matrix.ts'
import { chooseMatrices, readMatrix } from './factorize/matrices.ts'
import { writeSpectraPage } from './factorize/page.ts'
import { refuseInputs } from './keep-inputs.ts'
import { breathe } from './module-steps.ts'

/**
 * Finds spectrum and error of every rank of a file's matrices, and with `rank` their factors W ≈ B·A; writes these
 * (`output`) and a page with pictures (`report`) where asked.
 * @throws LowrankError `missing` for a file or tensor that is not there, with the nearest name; `unsupported`, `format`;
 * `numeric` naming tensor and place of a value that is not finite; `usage` for outputs that are there; `stopped`
 */
export async function factorize(options: FactorizeOptions & Watched): Promise<FactorizeResult> {
  const settings = resolveOptions('factorize', options)
  const { path, output, report, algorithm, overwrite } = settings
  for (const [field, file] of [
    ['output', output],
    ['report', report],
  ] as const)
    await refuseFile(field, file, overwrite)
  const { matrices, skipped } = await chooseMatrices(path, settings.tensor)
  for (const file of [output, report]) if (file !== undefined) await refuseInputs(file, [path], 'work')
  const tensors: FactorizedTensor[] = []
  const factors = new Map<string, HostTensor>()
  for (const [i, { name, ref }] of matrices.entries()) {
    options.onProgress?.({ type: 'progress', label: 'factorize', done: i, total: matrices.length, unit: 'tensors' })
    await breathe()
    if (options.signal?.aborted === true) throw new LowrankError('stopped', 'factorize was stopped')
    const found = factorizeMatrix(await readMatrix(name, ref), settings)
    tensors.push({ name, dtype: ref.dtype, ...found.facts })
    if (!found.factors || output === undefined) continue
    const { a, b } = found.factors
    factors.set(`${name}.lora_A`, f32([a.rows, a.columns], a.data))
    factors.set(`${name}.lora_B`, f32([b.rows, b.columns], b.data))
  }
  options.onProgress?.({
    type: 'progress',
    label: 'factorize',
    done: matrices.length,
    total: matrices.length,
    unit: 'tensors',
  })
  if (output !== undefined) await writeSafetensors(output, factors)
  const result: FactorizeResult = {
    path,
    algorithm,
    tensors,
    skipped: [...skipped],
    ...(output === undefined ? {} : { output }),
    ...(report === undefined ? {} : { report }),
  }
  if (report !== undefined) await writeSpectraPage(report, result)
  return result
}

async function refuseFile(field: string, file: string | undefined, overwrite: boolean): Promise<void> {
  if (file === undefined) return
  const kind = await pathKind(file)
  if (kind === undefined || (kind === 'file' && overwrite)) return
  const message = kind === 'file' ? `${file} is there already` : `${file} is a folder; name a file`
  const suggestion = kind === 'file' ? 'name another one, or give --overwrite' : undefined
  throw new LowrankError('usage', message, { file, field, suggestion })
}
