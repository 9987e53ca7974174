/** @file What combine, extract, truncate, diff and factorize return. Must not know a terminal, and holds no behaviour. */

export interface CombineResult {
  output: string
  combination: string
  adapters: { path: string; weight: number }[]
  /** Of most modules. */
  rank: number
  modules: {
    path: string
    rank: number
    /** Share of ‖Σ wᵢ·ΔWᵢ‖² that is kept; absent where the method is no sum of updates. */
    energy?: number | undefined
  }[]
  tensors: number
  notes: string[]
}

export interface ExtractedModule {
  path: string
  rank: number
  /** Share of ‖tuned − base‖² that is kept. */
  energy: number
  /** ‖tuned − base‖ */
  norm: number
}

export interface ExtractResult {
  output: string
  /** Of most modules. */
  rank: number
  /** Share of all differences at the targets that is kept. */
  energy: number
  modules: ExtractedModule[]
  /** Targets whose weight is the base's. */
  untouched: number
  /** Tensors that differ and are in no update, and whether the adapter holds them whole. */
  rest: { tensors: string[]; saved: boolean }
  tensors: number
}

export interface TruncateResult {
  output: string
  /** Of most modules. */
  rank: number
  /** Least share of an update's energy that is kept. */
  energy: number
  modules: {
    path: string
    /** Rank before. */
    from: number
    rank: number
    energy: number
    /** ‖ΔW − kept‖ / ‖ΔW‖ */
    error: number
  }[]
  tensors: number
}

export interface DiffResult {
  a: string
  b: string
  /** Of all updates together. */
  normA: number
  normB: number
  /** ‖ΔW_a − ΔW_b‖ */
  norm: number
  /** null where one is zero. */
  cosine: number | null
  modules: DiffedModule[]
  /** Tensors beside the updates. */
  beside: { name: string; in: 'a' | 'b' | 'both'; distance?: number | null | undefined }[]
  notes: string[]
}

export interface DiffedModule {
  path: string
  a?: DiffedUpdate | undefined
  b?: DiffedUpdate | undefined
  /** Where both have the module; null where an update is zero. */
  difference?:
    | { norm: number; cosine: number | null; outputOverlap: number | null; inputOverlap: number | null }
    | undefined
}

export interface DiffedUpdate {
  norm: number
  rank: number
  effectiveRank: number
  stableRank: number
}

export interface FactorizedTensor {
  name: string
  dtype: string
  shape: number[]
  /** ‖W‖, Frobenius. */
  norm: number
  /** Singular values from the largest on; with randomized the sketched ones alone. */
  spectrum: number[]
  /** ‖W − best of rank r‖ / ‖W‖ for r = 0, 1, 2, … as far as the spectrum is known. */
  errors: number[]
  effectiveRank?: number
  stableRank?: number
  /** Rank of the factors. */
  rank?: number
  /** ‖W − B·A‖ / ‖W‖ of the factors as they are saved, measured. */
  error?: number
  /** Share of ‖W‖² in the factors. */
  energy?: number
  /** The smallest error that any factors of the rank have. */
  optimal?: number
  /** Power iterations, with randomized. */
  iterations?: number
}

export interface FactorizeResult {
  path: string
  algorithm: 'svd' | 'randomized'
  tensors: FactorizedTensor[]
  skipped: { name: string; why: string }[]
  /** File of the factors. */
  output?: string
  report?: string
}
