/**
 * @file The library: verbs that take one options object each. Everything else is reached through these.
 * @module lowrank
 */

export { EMBEDDED } from './run/base-folder.ts'
export { openChat } from './run/chat.ts'
export { convert } from './run/convert.ts'
export { evaluate } from './run/evaluate.ts'
export { generate } from './run/generate.ts'
export { inspect } from './run/inspect.ts'
export { type LoadedModel, type LoadModelOptions, loadModel, type Request } from './run/load-model.ts'
export { mergeAdapter } from './run/merge.ts'
export { train } from './run/train.ts'
export type {
  ChatSession,
  ConvertResult,
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
  TrainEvent,
  TrainResult,
} from './run/types.ts'
export { type ErrorCode, isLowrankError, LowrankError } from './support/errors.ts'
