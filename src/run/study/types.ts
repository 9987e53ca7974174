/** @file What `study` takes, tells and returns. Must not know how. */
import type { InputOf, TrainOptions } from '../../config/verbs/index.ts'
import type { NoticeEvent } from '../types.ts'

/** Options of train by name; checked against train's own table before anything starts. */
type SomeOptions = TrainOptions | Readonly<Record<string, unknown>>

export interface StudyOptions extends Omit<InputOf<'study'>, 'base' | 'grid' | 'settings'> {
  /** Options that every run has. */
  base?: SomeOptions | undefined
  /** Options, each with the values it takes; all of them crossed. */
  grid?: Readonly<Record<string, unknown>> | undefined
  /** Named sets of options: `name`, and options of train. */
  settings?: readonly (SomeOptions & { readonly name?: unknown })[] | undefined
}

/** Which run: its setting, and the seeds of order and of new weights. */
export interface RunName {
  setting: string
  dataSeed: number
  initSeed: number
}

/** Figures by name: `loss`, and the metrics of the task. */
export type Figures = Readonly<Record<string, number>>

/** One finished run, as it is kept in a file of its own. */
export interface StudyRun extends RunName {
  /** `crashed`: its numbers stopped being numbers. */
  status: 'done' | 'crashed'
  /** The figure that is compared; null of a run that has none. */
  value: number | null
  /** Crashed, or no better than an answer that is always the same. */
  failed: boolean
  /** Of the rows that count: the test rows where there are any, else those held out. */
  figures: Figures
  /** What the commonest label as the only answer would get, where the figures have such a thing. */
  constant: Figures
  /** Every evaluation while training, in order. */
  evaluations: { step: number; figures: Figures }[]
  steps: number
  seconds: number
  /** Folder of the run, below the study's. */
  folder: string
  error?: string
}

/** A mean and how sure it is; null where there are too few values. */
export interface Estimate {
  /** Values in it. */
  n: number
  mean: number | null
  /** Of the sample: n − 1. */
  std: number | null
  /** Percentile bootstrap of the mean. */
  ci95: [low: number, high: number] | null
}

export interface StudyGroup extends Estimate {
  name: string
  /** What this setting says beyond the base. */
  settings: Record<string, unknown>
  /** Runs that crashed or are no better than a constant answer, and their share of all finished ones. */
  failed: number
  failedShare: number
  /** Finished runs, those that crashed included. */
  runs: number
  min: number | null
  max: number | null
  median: number | null
  /** With --data-seeds × --init-seeds: what of the spread each explains. */
  effects?: SeedEffects
}

/** Components of variance (two-way, without repeats), as standard deviations in the units of the metric. */
export interface SeedEffects {
  /** Spread of the means over all initialisations, by data seed; and the other way round. */
  dataMeansStd: number
  initMeansStd: number
  /** Spread that is due to order alone, new weights alone, and neither (their interplay and chance). */
  data: number
  init: number
  rest: number
}

/** A group against the first, pair by pair of equal seeds. */
export interface StudyDifference extends Estimate {
  name: string
  against: string
}

export interface StudyResult {
  output: string
  metric: string
  runs: StudyRun[]
  groups: StudyGroup[]
  differences: StudyDifference[]
  /** Runs that the study has in all; `runs` may hold fewer where it was stopped. */
  total: number
  /** On the clock, this call alone. */
  seconds: number
  stopped?: boolean
}

export type StudyEvent =
  | { type: 'start'; output: string; settings: string[]; total: number; done: number; workers: number }
  | NoticeEvent
  | ({ type: 'begin' } & RunName)
  | ({ type: 'step'; step: number; totalSteps: number } & RunName)
  | ({ type: 'eval'; step: number; figures: Figures } & RunName)
  | { type: 'run'; run: StudyRun; done: number; total: number }
  /** Every group so far, after each run. */
  | { type: 'groups'; metric: string; groups: StudyGroup[] }
  | { type: 'done'; result: StudyResult }
