/**
 * @file Two adapters of one base, module by module: how large their updates are, how far apart, and whether they point the
 * same way. Must not know files, or the base's weights.
 */
import {
  effectiveRank,
  innerProduct,
  normOfProduct,
  numericalRank,
  stableRank,
  subspaceOverlap,
  sumOf,
  svdOfProduct,
} from '../../linalg/low-rank.ts'
import { firstColumns } from '../../linalg/matrix.ts'
import type { Svd } from '../../linalg/svd.ts'
import { LowrankError } from '../../support/errors.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { asF32 } from '../low-rank-update.ts'
import { scaled, type Update, type Updates } from './updates.ts'

/** One adapter's update of a module. */
export interface UpdateFacts {
  /** ‖s·B·A‖, Frobenius. */
  readonly norm: number
  readonly rank: number
  /** exp of the entropy of the singular values (Roy and Vetterli 2007). */
  readonly effectiveRank: number
  /** ‖ΔW‖² over its largest singular value squared. */
  readonly stableRank: number
}

export interface ModuleDiff {
  readonly path: string
  readonly a?: UpdateFacts | undefined
  readonly b?: UpdateFacts | undefined
  /** Where both have the module; cosine and overlaps are null where an update is zero. */
  readonly difference?:
    | {
        /** ‖ΔW_a − ΔW_b‖ */
        readonly norm: number
        readonly cosine: number | null
        /** Share of the smaller space of outputs (inputs) that lies in the larger: 0 is at right angles, 1 within. */
        readonly outputOverlap: number | null
        readonly inputOverlap: number | null
      }
    | undefined
}

/** A tensor beside the updates. */
export interface TensorDiff {
  readonly name: string
  readonly in: 'a' | 'b' | 'both'
  /** ‖a − b‖ / ‖a‖, where both have it; null where their shapes differ or a is zero. */
  readonly distance?: number | null | undefined
}

export interface AdapterDiff {
  readonly modules: readonly ModuleDiff[]
  readonly beside: readonly TensorDiff[]
  /** Over all modules; a module that one lacks counts as zero there. */
  readonly whole: {
    readonly normA: number
    readonly normB: number
    readonly norm: number
    readonly cosine: number | null
  }
}

/** @throws LowrankError `config` naming a module whose sizes differ: the adapters are of different bases */
export function diffAdapters(
  one: Updates,
  other: Updates,
  onModule: (done: number, total: number) => void = () => {},
): AdapterDiff {
  const paths = [...new Set([...one.sites.keys(), ...other.sites.keys()])]
  const sums = { a: 0, b: 0, difference: 0, product: 0 }
  const modules = paths.map((path, i): ModuleDiff => {
    onModule(i, paths.length)
    const [a, b] = [one.sites.get(path), other.sites.get(path)]
    if (a && b) refuseOtherSize(a, b, one.name, other.name)
    const [left, right] = [a && factsOf(a), b && factsOf(b)]
    sums.a += (left?.facts.norm ?? 0) ** 2
    sums.b += (right?.facts.norm ?? 0) ** 2
    if (!a || !b || !left || !right) {
      sums.difference += (left?.facts.norm ?? right?.facts.norm ?? 0) ** 2
      return { path, ...(left ? { a: left.facts } : {}), ...(right ? { b: right.facts } : {}) }
    }
    const product = innerProduct(scaled(a), scaled(b))
    const norm = normOfProduct(sumOf([scaled(a), scaled(b, -1)]))
    sums.difference += norm ** 2
    sums.product += product
    const size = left.facts.norm * right.facts.norm
    const overlap = (side: 'u' | 'v'): number | null =>
      size === 0 ? null : subspaceOverlap(spaceOf(left.svd, side), spaceOf(right.svd, side))
    const difference = { norm, cosine: cosine(product, size), outputOverlap: overlap('u'), inputOverlap: overlap('v') }
    return { path, a: left.facts, b: right.facts, difference }
  })
  onModule(paths.length, paths.length)
  const [normA, normB] = [Math.sqrt(sums.a), Math.sqrt(sums.b)]
  const whole = { normA, normB, norm: Math.sqrt(sums.difference), cosine: cosine(sums.product, normA * normB) }
  return { modules, beside: diffBeside(one.rest, other.rest), whole }
}

function cosine(product: number, size: number): number | null {
  return size === 0 ? null : Math.max(-1, Math.min(1, product / size))
}

function factsOf(update: Update): { facts: UpdateFacts; svd: Svd } {
  const svd = svdOfProduct(scaled(update))
  const norm = Math.hypot(...svd.s)
  const facts = { norm, rank: update.a.rows, effectiveRank: effectiveRank(svd.s), stableRank: stableRank(svd.s) }
  return { facts, svd }
}

/** The directions that an update really has: those of rounding alone span nothing. */
function spaceOf(svd: Svd, side: 'u' | 'v'): Svd['u'] {
  return firstColumns(svd[side], numericalRank(svd.s))
}

function refuseOtherSize(a: Update, b: Update, one: string, other: string): void {
  if (a.a.columns === b.a.columns && a.b.rows === b.b.rows) return
  const size = ({ a: first, b: second }: Update): string => `${first.columns} to ${second.rows}`
  throw new LowrankError(
    'config',
    `${a.path} is ${size(a)} in ${one} and ${size(b)} in ${other}: they were made for different bases`,
    { file: other, field: a.path },
  )
}

function diffBeside(one: ReadonlyMap<string, HostTensor>, other: ReadonlyMap<string, HostTensor>): TensorDiff[] {
  return [...new Set([...one.keys(), ...other.keys()])].map((name): TensorDiff => {
    const [a, b] = [one.get(name), other.get(name)]
    if (!a || !b) return { name, in: a ? 'a' : 'b' }
    if (String(a.shape) !== String(b.shape)) return { name, in: 'both', distance: null }
    const [x, y] = [asF32(a, name), asF32(b, name)]
    let [difference, size] = [0, 0]
    for (let i = 0; i < x.length; i++) {
      difference += ((x[i] ?? 0) - (y[i] ?? 0)) ** 2
      size += (x[i] ?? 0) ** 2
    }
    return { name, in: 'both', distance: difference === 0 ? 0 : size === 0 ? null : Math.sqrt(difference / size) }
  })
}
