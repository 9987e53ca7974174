/** @file The matrices of a file or a model folder that can be factorized, and why others cannot. Must not know the maths. */
import { readTensor } from '../../formats/tensor-files.ts'
import { openFile, openWeights, type Weights } from '../../formats/weights-folder.ts'
import { type Matrix, matrix } from '../../linalg/matrix.ts'
import { asF32 } from '../../peft/low-rank-update.ts'
import { LowrankError } from '../../support/errors.ts'
import { pathKind } from '../../support/files.ts'
import { nearest } from '../../support/nearest.ts'
import type { WeightRef } from '../../tensor/weight-ref.ts'

export interface Chosen {
  readonly matrices: readonly { readonly name: string; readonly ref: WeightRef }[]
  /** Passed over, with the reason. */
  readonly skipped: readonly { readonly name: string; readonly why: string }[]
}

/**
 * Finds the tensors to factorize.
 * @throws LowrankError `missing` for a path or a name that is not there, with the nearest; `unsupported` for a named tensor
 * that is no matrix of floats; `format`
 */
export async function chooseMatrices(path: string, names: readonly string[] | undefined): Promise<Chosen> {
  const { refs, unreadable } = await listTensors(path)
  const all = [...refs.keys(), ...unreadable.keys()]
  const wanted = names ?? all
  const matrices: Chosen['matrices'][number][] = []
  const skipped: Chosen['skipped'][number][] = []
  for (const name of wanted) {
    const ref = refs.get(name)
    const dtype = ref?.dtype ?? unreadable.get(name)
    if (dtype === undefined) throw unknownTensor(name, path, all)
    const why = ref ? problemOf(ref) : `of type ${dtype}, which lowrank does not read`
    if (ref && why === undefined) matrices.push({ name, ref })
    else if (names === undefined) skipped.push({ name, why: why ?? '' })
    else throw new LowrankError('unsupported', `tensor ${name} of ${path} is ${why}`, { file: path, field: name })
  }
  if (matrices.length > 0) return { matrices, skipped }
  throw new LowrankError('data', `${path} holds no matrix of floats to factorize`, { file: path })
}

async function listTensors(path: string): Promise<Weights> {
  const kind = await pathKind(path)
  if (kind === undefined) throw new LowrankError('missing', `there is no file or folder ${path}`, { file: path })
  return kind === 'folder' ? await openWeights(path) : await openFile(path)
}

function problemOf({ dtype, shape }: WeightRef): string | undefined {
  if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16') return `of type ${dtype}, not a float`
  if (shape.length !== 2) return `of shape [${shape.join(', ')}], not a matrix`
  return shape.includes(0) ? `empty: [${shape.join(', ')}]` : undefined
}

function unknownTensor(name: string, path: string, names: readonly string[]): LowrankError {
  const [near] = nearest(name, names)
  const inside = names.filter((other) => other.includes(name))
  const suggestion = near ?? (inside.length > 0 ? inside[0] : undefined)
  return new LowrankError('missing', `${path} has no tensor ${name}`, { file: path, field: name, suggestion })
}

/** @throws LowrankError `numeric` naming the tensor and the place of a value that is not finite */
export async function readMatrix(name: string, ref: WeightRef): Promise<Matrix> {
  const held = await readTensor(ref, { as: 'f32' })
  const [rows = 0, columns = 0] = held.shape
  const data = Float64Array.from(asF32(held, name))
  const bad = data.findIndex((value) => !Number.isFinite(value))
  if (bad < 0) return matrix(rows, columns, data)
  const at = `row ${Math.floor(bad / columns)}, column ${bad % columns}`
  throw new LowrankError('numeric', `tensor ${name} of ${ref.file} cannot be factorized: ${at} is ${data[bad]}`, {
    file: ref.file,
    field: name,
  })
}
