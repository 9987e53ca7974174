/**
 * @file The difference of two weights as an update: its largest singular values, to a rank or a share of the energy.
 * Must not know files, models or adapters.
 */
import { balanced, type Cut, energy as energyOf, type LowRank, rankForEnergy } from '../../linalg/low-rank.ts'
import { frobeniusNorm, type Matrix } from '../../linalg/matrix.ts'
import { type Svd, svd, topSvd, truncated } from '../../linalg/svd.ts'

export interface Extraction {
  /** Scale 1. */
  readonly low: LowRank
  /** Share of ‖difference‖² that is kept. */
  readonly energy: number
}

/** The first guess of a rank that holds the energy; doubled until it does. */
const FIRST_GUESS = 16

/**
 * The best update of a rank, or of the smallest rank that holds a share of the energy.
 * @param difference f64[out, in], not zero
 * @throws LowrankError `numeric` for numbers that are not finite
 */
export function extractUpdate(difference: Matrix, cut: Cut): Extraction {
  const whole = frobeniusNorm(difference) ** 2
  const found = 'rank' in cut ? top(difference, cut.rank) : topEnergy(difference, cut.energy, whole)
  return { low: balanced(found), energy: Math.min(1, energyOf(found.s) / whole) }
}

function top(m: Matrix, rank: number): Svd {
  return topSvd(m, Math.min(rank, m.rows, m.columns))
}

function topEnergy(m: Matrix, share: number, whole: number): Svd {
  const most = Math.min(m.rows, m.columns)
  for (let guess = FIRST_GUESS; guess <= most / 4; guess *= 2) {
    const found = topSvd(m, guess)
    const rank = rankForEnergy(found.s, share, whole)
    if (rank !== undefined) return truncated(found, rank)
  }
  const found = svd(m)
  return truncated(found, rankForEnergy(found.s, share, whole) ?? most)
}
