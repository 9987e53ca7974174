/**
 * @file Orthogonal start: A and B both random and not zero, with B·A = 0, so that the base is left alone and both get a
 * gradient from the first step (the linked article of PEFT's `orthogonal_init`). Must not know files or graphs.
 */
import { matrix, multiply, row, transpose } from '../../linalg/matrix.ts'
import { qr } from '../../linalg/qr.ts'
import { RandomStream } from '../../support/random.ts'
import { f32 } from '../../tensor/host-tensor.ts'
import type { AdapterSite } from '../method.ts'
import { checkStartRank } from './check-rank.ts'
import type { Factors } from './split-weight.ts'

/** Size of the first values against a standard normal. */
const SIZE = 0.1

/**
 * A from the even rows of a random rotation, B from the odd ones.
 * @throws LowrankError `config` for an odd rank
 */
export function orthogonalFactors(
  site: Pick<AdapterSite, 'path' | 'r' | 'inFeatures' | 'outFeatures'>,
  seed: number,
): Factors {
  const { path, r, inFeatures, outFeatures } = site
  checkStartRank({ ...site, kind: 'linear' }, 'orthogonal')
  const random = new RandomStream(seed, `init/${path}/orthogonal`)
  const normal = (rows: number, columns: number) => {
    const out = matrix(rows, columns)
    for (let i = 0; i < out.data.length; i++) out.data[i] = random.normal()
    return out
  }
  const { q } = qr(normal(r, r))
  const half = (first: number) => {
    const out = matrix(r / 2, r)
    for (let i = 0; i < r / 2; i++) out.data.set(row(q, 2 * i + first), i * r)
    return out
  }
  const a = transpose(multiply(normal(inFeatures, r / 2), half(0)))
  const b = multiply(normal(outFeatures, r / 2), half(1))
  const small = (values: Float64Array): Float64Array => values.map((value) => SIZE * value)
  return { a: f32([r, inFeatures], small(a.data)), b: f32([outFeatures, r], small(b.data)) }
}
