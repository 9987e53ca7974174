/**
 * @file Several weighted adapters of one base as one (PEFT's `add_weighted_adapter`, peft/tuners/lora/model.py 0.21).
 * Must not know files, or the base's weights.
 */
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import { balanced, cutSvd, type LowRank, sumOf, svdOfProduct } from '../../linalg/low-rank.ts'
import { type Matrix, matrix } from '../../linalg/matrix.ts'
import { invariant, LowrankError } from '../../support/errors.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { agreedConfig, agreedRest } from './agreement.ts'
import { type Arithmetic, combineValues, type Term } from './arithmetic.ts'
import { type NewUpdate, rankFields, scaled, tensorsOf, type Update, type Updates } from './updates.ts'

export const COMBINATIONS = ['linear', 'cat', 'svd', 'ties', 'dare_linear', 'dare_ties', 'magnitude_prune'] as const
export type Combination = (typeof COMBINATIONS)[number]

export interface Weighted {
  readonly updates: Updates
  readonly weight: number
}

export interface CombineOptions {
  readonly combination: Combination
  /** Of the result, with svd. @default the largest rank that an adapter has at the module */
  readonly rank?: number | undefined
  /** Share of values kept, with ties, dare_linear, dare_ties and magnitude_prune. */
  readonly density: number
  /** With ties and dare_ties. */
  readonly majoritySign: 'total' | 'frequency'
  /** With dare_linear and dare_ties. */
  readonly seed: number
  /** The base of the result, where the adapters name different ones. */
  readonly base?: string | undefined
}

export interface CombinedModule {
  readonly path: string
  readonly rank: number
  /** Share of the energy ‖Σ wᵢ·ΔWᵢ‖² that is kept: 1 but for svd. Absent where the method is no sum of updates. */
  readonly energy?: number | undefined
}

export interface CombinedAdapter {
  readonly config: PeftLoraConfig
  readonly tensors: Map<string, HostTensor>
  readonly modules: readonly CombinedModule[]
  readonly notes: readonly string[]
}

/** One adapter at one module. */
interface Share {
  readonly adapter: string
  readonly weight: number
  readonly update: Update
}

/**
 * Combines adapters. `cat` and `svd` are exact in Σ wᵢ·ΔWᵢ (svd: its best approximation of the rank); `linear` keeps
 * PEFT's formula, whose product has cross terms, and the others prune and sum A and B apart, as PEFT does. A module that
 * only some adapters have is combined of those.
 * @param onModule told before each module
 * @throws LowrankError `config` naming adapters and module: other bases, other sizes, ranks that the combination cannot
 * bring together, tensors that cannot be weighed; `unsupported` for what PEFT would drop in silence
 */
export function combineAdapters(
  adapters: readonly Weighted[],
  options: CombineOptions,
  onModule: (done: number, total: number) => void = () => {},
): CombinedAdapter {
  const agreed = agreedConfig(
    adapters.map(({ updates }) => updates),
    options.base,
  )
  const rest = agreedRest(adapters.map(({ updates }) => updates))
  const byModule = sharesOf(adapters)
  checkRanks(byModule, options)
  const made: NewUpdate[] = []
  const modules: CombinedModule[] = []
  for (const [path, shares] of byModule) {
    onModule(made.length, byModule.size)
    const { low, energy } = combineModule(shares, options)
    const bBias = combinedBias(shares, options)
    made.push({ path, embedding: shares[0]?.update.embedding ?? false, ...low, ...(bBias ? { bBias } : {}) })
    modules.push({ path, rank: low.a.rows, ...(energy === undefined ? {} : { energy }) })
  }
  onModule(made.length, byModule.size)
  const config = { ...agreed.config, ...rest.config, ...rankFields(made), lora_bias: made.some(({ bBias }) => bBias) }
  return { config, tensors: tensorsOf(made, rest.tensors), modules, notes: [...agreed.notes, ...rest.notes] }
}

/** Who has which module, in the order of the first adapter. */
function sharesOf(adapters: readonly Weighted[]): Map<string, Share[]> {
  const found = new Map<string, Share[]>()
  for (const { updates, weight } of adapters)
    for (const [path, update] of updates.sites) {
      const shares = found.get(path) ?? []
      found.set(path, shares)
      const [first] = shares
      if (first && sizeOf(first.update) !== sizeOf(update))
        throw new LowrankError(
          'config',
          `${path} is ${sizeOf(first.update)} in ${first.adapter} and ${sizeOf(update)} in ${updates.name}: they were made for different bases`,
          { file: updates.name, field: path },
        )
      shares.push({ adapter: updates.name, weight, update })
    }
  return found
}

function sizeOf({ a, b, embedding }: Update): string {
  return `${embedding ? 'an embedding of ' : ''}${a.columns} to ${b.rows}`
}

const APART: ReadonlySet<Combination> = new Set(['linear', 'ties', 'dare_linear', 'dare_ties', 'magnitude_prune'])

/** Factors that are summed element by element must be of one rank. */
function checkRanks(byModule: ReadonlyMap<string, Share[]>, { combination }: CombineOptions): void {
  if (!APART.has(combination)) return
  for (const [path, shares] of byModule) {
    const [first] = shares
    const other = shares.find(({ update }) => update.a.rows !== first?.update.a.rows)
    if (first && other)
      throw new LowrankError(
        'config',
        `${combination} needs one rank: ${path} has rank ${first.update.a.rows} in ${first.adapter} and ${other.update.a.rows} in ${other.adapter}`,
        { file: other.adapter, field: path, suggestion: 'combine them with svd or cat' },
      )
  }
}

function combineModule(shares: readonly Share[], options: CombineOptions): { low: LowRank; energy?: number } {
  if (options.combination === 'cat') return { low: weightedSum(shares), energy: 1 }
  if (options.combination === 'svd') {
    const wanted = options.rank ?? Math.max(...shares.map(({ update }) => update.a.rows))
    const { kept, energy } = cutSvd(svdOfProduct(weightedSum(shares)), { rank: wanted })
    return { low: balanced(kept), energy }
  }
  const how = arithmeticOf(options)
  return { low: { a: apart(shares, 'a', how), b: apart(shares, 'b', how) } }
}

const weightedSum = (shares: readonly Share[]): LowRank =>
  sumOf(shares.map(({ update, weight }) => scaled(update, weight)))

function arithmeticOf({ combination, density, majoritySign, seed }: CombineOptions): Arithmetic {
  const elect = combination === 'ties' || combination === 'dare_ties' ? majoritySign : undefined
  const keep = combination === 'linear' ? undefined : combination.startsWith('dare') ? 'random' : 'largest'
  return { keep, elect, density, seed }
}

/** A or B of all, each with the root of its weight; the sign of a negative one goes with A alone. */
function apart(shares: readonly Share[], part: 'a' | 'b', how: Arithmetic): Matrix {
  const terms = shares.map(({ update, weight }, i): Term => {
    const whole = weight * update.scale
    const root = Math.sqrt(Math.abs(whole))
    // By place in the list, not by folder: the same adapters elsewhere give the same result.
    return {
      values: update[part].data,
      weight: whole < 0 && part === 'a' ? -root : root,
      name: `${i}/${update.path}/${part}`,
    }
  })
  const like = shares[0]?.update[part]
  invariant(like, 'a module without adapters')
  return matrix(like.rows, like.columns, combineValues(terms, how))
}

/** Σ wᵢ·sᵢ·bias: exact, since a bias is no product. PEFT forgets it. */
function combinedBias(shares: readonly Share[], { combination }: CombineOptions): Float64Array | undefined {
  const first = shares.find(({ update }) => update.bBias)
  if (!first) return undefined
  if (combination !== 'linear' && APART.has(combination))
    throw new LowrankError('unsupported', `${first.adapter} has a bias on B, which ${combination} cannot weigh`, {
      file: first.adapter,
      field: 'lora_bias',
      suggestion: 'combine with cat, svd or linear',
    })
  const out = new Float64Array(first.update.b.rows)
  for (const { update, weight } of shares)
    update.bBias?.forEach((value, i) => {
      out[i] = (out[i] ?? 0) + weight * update.scale * value
    })
  return out
}
