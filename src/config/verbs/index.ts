/** @file Every verb by name, and the types of their options. */
import type { z } from 'zod'
import type { VerbName } from '../summaries.ts'
import type { VerbSpec } from '../verb.ts'
import { combineVerb, diffVerb, extractVerb, factorizeVerb, truncateVerb } from './algebra.ts'
import { convertVerb } from './convert.ts'
import { studyVerb } from './study.ts'
import { benchVerb, doctorVerb, inspectVerb, quickstartVerb, schemaVerb } from './tools.ts'
import { trainVerb } from './train.ts'
import { chatVerb, classifyVerb, embedVerb, evalVerb, generateVerb, mergeVerb } from './use.ts'

export const verbs = {
  quickstart: quickstartVerb,
  train: trainVerb,
  study: studyVerb,
  eval: evalVerb,
  generate: generateVerb,
  chat: chatVerb,
  classify: classifyVerb,
  embed: embedVerb,
  merge: mergeVerb,
  combine: combineVerb,
  extract: extractVerb,
  truncate: truncateVerb,
  diff: diffVerb,
  factorize: factorizeVerb,
  convert: convertVerb,
  inspect: inspectVerb,
  doctor: doctorVerb,
  bench: benchVerb,
  schema: schemaVerb,
} satisfies Record<VerbName, VerbSpec>

export type Verbs = typeof verbs

/** Options as a caller gives them: defaults may be left out. */
export type InputOf<V extends VerbName> = z.input<Verbs[V]['schema']>
/** Options with every default filled in. */
export type OutputOf<V extends VerbName> = z.output<Verbs[V]['schema']>

export type QuickstartOptions = InputOf<'quickstart'>
export type TrainOptions = InputOf<'train'>
export type EvalOptions = InputOf<'eval'>
export type GenerateOptions = InputOf<'generate'>
export type ChatOptions = InputOf<'chat'>
export type ClassifyOptions = InputOf<'classify'>
export type EmbedOptions = InputOf<'embed'>
export type MergeOptions = InputOf<'merge'>
export type CombineOptions = InputOf<'combine'>
export type ExtractOptions = InputOf<'extract'>
export type TruncateOptions = InputOf<'truncate'>
export type DiffOptions = InputOf<'diff'>
export type FactorizeOptions = InputOf<'factorize'>
export type ConvertOptions = InputOf<'convert'>
export type InspectOptions = InputOf<'inspect'>
export type DoctorOptions = InputOf<'doctor'>
export type BenchOptions = InputOf<'bench'>

export type TrainSettings = OutputOf<'train'>
export type EvalSettings = OutputOf<'eval'>
export type GenerateSettings = OutputOf<'generate'>
export type ChatSettings = OutputOf<'chat'>
export type EmbedSettings = OutputOf<'embed'>
export type ExtractSettings = OutputOf<'extract'>
export type ConvertSettings = OutputOf<'convert'>
