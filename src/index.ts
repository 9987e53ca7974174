/**
 * @file The library: verbs that take one options object each. Everything else is reached through these.
 * @module lowrank
 */

export type { DataReport, RowPiece } from './data/data-report.ts'
export type { Builder } from './graph/builder.ts'
export type { Node } from './graph/types.ts'
export type { Entity, LabelledWord } from './infer/answers.ts'
export type { LoraModel, StepResult, Trainable } from './layers/lora-model.ts'
export {
  type BatchOf,
  type InputNodes,
  type InputSpec,
  type InputSpecs,
  type Layers,
  linear,
  type Network,
  network,
  squaredError,
} from './layers/network.ts'
export type {
  CombineResult,
  DiffResult,
  ExtractResult,
  FactorizedTensor,
  FactorizeResult,
  TruncateResult,
} from './run/algebra-types.ts'
export { EMBEDDED } from './run/base-folder.ts'
export { openChat } from './run/chat.ts'
export {
  type Classifier,
  type ClassifyCall,
  type ClassifyResult,
  classify,
  type OpenClassifierOptions,
  openClassifier,
} from './run/classify.ts'
export { combine } from './run/combine.ts'
export { convert } from './run/convert.ts'
export { diff } from './run/diff.ts'
export { dryRun } from './run/dry-run.ts'
export { type EmbedCall, type Embedder, embed, type OpenEmbedderOptions, openEmbedder } from './run/embed.ts'
export { evaluate } from './run/evaluate.ts'
export { extract } from './run/extract.ts'
export { factorize } from './run/factorize.ts'
export { generate } from './run/generate.ts'
export { inspect } from './run/inspect.ts'
export { type LoadedModel, type LoadModelOptions, loadModel, type Request } from './run/load-model.ts'
export { type EngineOptions, type LoraOptions, lora, predict } from './run/lora.ts'
export { mergeAdapter } from './run/merge.ts'
export type {
  StudyDifference,
  StudyEvent,
  StudyGroup,
  StudyOptions,
  StudyResult,
  StudyRun,
} from './run/study/types.ts'
export { study } from './run/study.ts'
export { train } from './run/train.ts'
export { truncate } from './run/truncate.ts'
export type {
  ChatSession,
  ConvertResult,
  DryRunResult,
  EvalResult,
  GenerateEvent,
  GenerateResult,
  InspectResult,
  MergeResult,
  NoticeEvent,
  ProgressEvent,
  QuickstartEvent,
  QuickstartResult,
  StepEvent,
  TextRow,
  TrainEvent,
  TrainResult,
} from './run/types.ts'
export { type ErrorCode, isLowrankError, LowrankError } from './support/errors.ts'
export { f32, type HostTensor, i64 } from './tensor/host-tensor.ts'
