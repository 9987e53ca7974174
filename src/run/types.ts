/**
 * @file What the verbs' entry points take, tell and return: the contract between `run/`, the faces and the library.
 * Must not know a terminal, and holds no behaviour.
 */
import type { DataReport } from '../data/data-report.ts'
import type { ErrorCode } from '../support/errors.ts'

/** Given beside a verb's options by whoever may stop it. */
export interface Stoppable {
  /** Ends the work as Ctrl-C does: what can be saved is saved, everything is disposed. */
  signal?: AbortSignal | undefined
}

/** Something said aloud: a warning, a default that matters, what was found in a file. */
export interface NoticeEvent {
  type: 'notice'
  message: string
}

/** How far a long piece of work is. */
export interface ProgressEvent {
  type: 'progress'
  /** What is being done: `download model.safetensors`, `merge`. */
  label: string
  done: number
  /** Absent where the end is not known. */
  total?: number
  /** What is counted. */
  unit?: 'bytes' | 'steps' | 'rows' | 'tensors' | 'tokens' | 'modules'
}

// ── train ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type TrainEvent =
  | {
      type: 'start'
      output: string
      model: string
      method: string
      trainable: number
      parameters: number
      totalSteps: number
      rows: number
      warnings: string[]
    }
  /** What the rows are and what they cost, before the first step. */
  | { type: 'data'; report: DataReport }
  | NoticeEvent
  | ProgressEvent
  /** Predicted before anything is allocated: seconds of an average step, the whole process' memory at its peak. */
  | {
      type: 'preflight'
      secondsPerStep: number
      peakMemoryBytes: number
      freeMemoryBytes: number
      /** Activations are computed again in the backward pass. */
      recompute: boolean
    }
  | { type: 'resume'; step: number; message: string }
  /** With `printGraph`: the step's graph as text, and a hash of it. */
  | { type: 'graph'; text: string; hash: string }
  | StepEvent
  | {
      type: 'eval'
      step: number
      evalLoss: number
      evalTokens: number
      /** Of the task, by name: `accuracy`, `pearson` …; none of a language model's. */
      metrics: Readonly<Record<string, number>>
    }
  /** Once, at the end: the result on the rows of `testData`. `step` is the one whose weights are the result. */
  | {
      type: 'test'
      step: number
      testLoss: number
      testTokens: number
      metrics: Readonly<Record<string, number>>
    }
  | { type: 'checkpoint'; step: number; path: string }
  | { type: 'done'; result: TrainResult }

export interface StepEvent {
  type: 'step'
  /** From 1. */
  step: number
  totalSteps: number
  epoch: number
  loss: number
  learningRate: number
  /** Before clipping. */
  gradNorm: number
  /** Input tokens so far, padding not counted. */
  tokens: number
  tokensPerSecond: number
  elapsedSeconds: number
  remainingSeconds: number
  peakMemoryBytes: number
  /** Whether this step wrote a line of trainer_log.jsonl. */
  logged: boolean
}

export interface TrainResult {
  output: string
  steps: number
  loss: number
  evalLoss?: number
  /** Of the same evaluation as `evalLoss`, by name. */
  evalMetrics?: Readonly<Record<string, number>>
  /** On the rows of `testData`, which nothing was chosen by. */
  testLoss?: number
  testMetrics?: Readonly<Record<string, number>>
  tokensPerSecond: number
  peakMemoryBytes: number
  trainable: number
  seconds: number
  /** Stopped by its signal after saving. */
  stopped?: boolean
}

/** What `train` would do, found out without doing it. */
export interface DryRunResult {
  dryRun: true
  /** Where the run would be written. */
  output: string
  model: string
  method: string
  trainable: number
  parameters: number
  totalSteps: number
  data: DataReport
}

// ── use of a model ───────────────────────────────────────────────────────────────────────────────────────────────

export interface EvalResult {
  loss: number
  perplexity: number
  /** Labels at positions ≥ 1 that are not −100; of a classifier its rows, of a token classifier its labelled words. */
  tokens: number
  examples: number
  accuracy?: number
  macroF1?: number
  matthews?: number
  pearson?: number
  spearman?: number
  /** Of whole entities, where the labels are BIO. */
  precision?: number
  recall?: number
  f1?: number
  /** Of a classifier: how often each label (a row) was told as each label (a column). */
  confusion?: { labels: readonly string[]; counts: number[][] }
  /** Mean loss of each row, in the order of the data; NaN-free: a row without labels has 0. */
  losses?: number[]
}

/** A row that a model is asked about, as data files have it. Other fields are left alone. */
export interface TextRow {
  readonly text?: string | undefined
  /** The second of a pair of texts. */
  readonly text_pair?: string | undefined
  /** Words of a token classifier, instead of a text. */
  readonly tokens?: readonly string[] | undefined
  readonly input_ids?: readonly number[] | undefined
  readonly token_type_ids?: readonly number[] | undefined
  /** Name of the adapter that answers it. */
  readonly adapter?: string | undefined
  readonly [field: string]: unknown
}

export type GenerateEvent = { type: 'token'; text: string } | NoticeEvent | ProgressEvent

export interface GenerateResult {
  /** New tokens only. */
  ids: number[]
  text: string
  finishReason: 'stop' | 'length'
  tokensPerSecond: number
}

/** A conversation that keeps its model loaded between turns. */
export interface ChatSession {
  send(text: string, options?: Stoppable): AsyncGenerator<GenerateEvent, GenerateResult>
  /** Forgets all turns but the system message. */
  clear(): void
  dispose(): Promise<void>
}

export interface MergeResult {
  output: string
  /** Modules whose weight took an update. */
  merged: number
  tensors: number
  bytes: number
  dtype: string
  seconds: number
}

export interface ConvertResult {
  output: string
  from: 'peft' | 'loralib'
  to: 'peft' | 'loralib'
  /** Layers with an update. */
  modules: number
  tensors: number
  /** Of most layers, as PEFT's config has them. */
  rank: number
  alpha: number
  /** What a person should know: what was assumed, what the other format does not hold. */
  notes: string[]
}

// ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────────

export type QuickstartEvent =
  | NoticeEvent
  | ProgressEvent
  | TrainEvent
  | { type: 'example'; stage: 'before' | 'after'; prompt: string; expected: string; text: string; exact: boolean }

export interface QuickstartResult {
  output: string
  before: { exactMatch: number }
  after: { exactMatch: number }
  seconds: number
  trainable: number
  adapterBytes: number
  /** Rows kept aside on which both were measured. */
  heldout: number
  /** Commands worth trying next. */
  next: string[]
}

export interface BenchResult {
  machine: { cpu: string; cores: number; memoryBytes: number }
  model: { name: string; parameters: number; trainable: number }
  settings: {
    sequence: number
    batchSize: number
    rank: number
    dropout: number
    steps: number
    threads: number
    engine: string
    recompute: boolean
    /** What the model is trained for. */
    task: string
    /** Rows of a dataset; random tokens without. */
    data?: { files: string[]; rows: number }
  }
  lowrank: BenchSide & {
    loadSeconds: number
    /** Resident once the base is loaded, before the first step. */
    loadedBytes: number
  }
  /** Matrix products measured in the same run, and the tokens/s they alone would allow. */
  limit: { gflops: number; tokensPerSecond: number; share: number }
  /** PyTorch + PEFT, where a Python with them was found. */
  peer?: BenchSide & { python: string; torch: string; peft: string }
  /** Our tokens/s over the peer's, and our peak memory over its. */
  ratio?: { speed: number; memory: number }
  /** Why there is no peer. */
  withoutPeer?: string
  /** The same with other settings, measured in turns with the first (`--variants`). */
  variants?: BenchVariant[]
  /** Where the time of a step goes (`--profile`). */
  profile?: BenchProfile
}

export interface BenchSide {
  /** Padding not counted. */
  tokensPerSecond: number
  rowsPerSecond: number
  secondsPerStep: number
  peakMemoryBytes: number
  /** Share of the tokens computed that is padding. */
  padding: number
}

export interface BenchVariant extends BenchSide {
  name: string
  rank: number
  dropout: number
  /** How much longer a step takes, as a share: 0.1 is a tenth. */
  cost: number
}

export interface BenchProfile {
  /** Of a step, on the clock, with the times being kept. */
  seconds: number
  /** Share of it that is in no kernel. */
  outside: number
  phases: { phase: 'forward' | 'backward' | 'update'; seconds: number }[]
  /** By op, the most expensive first. */
  ops: BenchTiming[]
  /** By place in the model, layers together (`model.layers.*.mlp.up_proj`), the most expensive first. */
  places: BenchTiming[]
  /** Most bytes of values held at once, packed weights included, and how it went over the step, 0 to 1. */
  peakBytes: number
  memory: { at: number; bytes: number }[]
  /** The page with pictures. */
  output: string
}

export interface BenchTiming {
  name: string
  calls: number
  seconds: number
  forward: number
  backward: number
  update: number
  /** Of matrix products; absent where there are none. */
  gflops?: number
  /** Gigabytes read and written a second. */
  gigabytes: number
}

/** What `--json` prints of a failure. */
export interface ErrorReport {
  error: { code: ErrorCode | 'internal'; message: string; file?: string; field?: string; suggestion?: string }
}

// ── inspect ──────────────────────────────────────────────────────────────────────────────────────────────────────

export interface InspectResult {
  kind: 'model' | 'adapter' | 'checkpoint' | 'run' | 'study' | 'safetensors' | 'torch' | 'loralib'
  path: string
  /** Class of the config (`LlamaForCausalLM`), method of an adapter (`LORA`), or null for a bare file. */
  architecture: string | null
  /** Numbers in floating-point tensors. */
  parameters: number
  /** Of these, what training changes: all of an adapter's. Absent for models and bare files. */
  trainable?: number
  tensors: number
  /** Type of most parameters. */
  dtype: string
  bytes: number
  /** Parameters of each type, where there is more than one. */
  dtypes?: Record<string, number>
  /** Tensors alike but for their numbers, largest first. */
  groups: TensorGroup[]
  model?: ModelFacts
  adapter?: AdapterFacts
  run?: RunFacts
  study?: StudyFacts
  loralib?: LoralibFacts
  /** Every tensor, where it was asked for. */
  list?: { name: string; dtype: string; shape: number[]; bytes: number }[]
  metadata?: Record<string, string>
}

export interface TensorGroup {
  /** `model.layers.*.self_attn.q_proj.weight` */
  pattern: string
  count: number
  dtype: string
  /** Of the first; `varied` says that others differ. */
  shape: number[]
  varied?: boolean
  parameters: number
}

export interface ModelFacts {
  modelType: string
  layers?: number
  hidden?: number
  heads?: number
  kvHeads?: number
  vocabulary?: number
  context?: number
  tokenizer: boolean
  chatTemplate: boolean
  /** Whether lowrank builds this model, and why not. */
  supported: boolean
  reason?: string
}

export interface AdapterFacts {
  method: string
  base?: string
  rank?: number
  alpha?: number
  dropout?: number
  targets?: string | readonly string[]
  /** Options that are on besides: `DoRA`, `rsLoRA`, `bias all`, … */
  extras: string[]
  warnings: string[]
}

/** A state file of microsoft/LoRA. */
export interface LoralibFacts {
  /** Of most layers; of a fused one, the rank of each part. */
  rank: number
  /** Layers with an update, by the last part of their name: `query × 12`. */
  modules: string[]
  /** Of them, those with several parts (MergedLinear). */
  fused: number
  /** Biases saved besides. */
  biases: number
  /** Tensors of modules that were trained whole: a classifier's head. */
  head: string[]
  /** What the file does not hold and a conversion needs. */
  missing: string[]
  /** Why it cannot be converted. */
  problems: string[]
}

export interface StudyFacts {
  settings: number
  seeds: number
  /** Runs that are finished, and all there are to be. */
  done: number
  total: number
  /** Of the last result that was written: the figure compared, and what it says of each setting. */
  metric?: string
  groups: { name: string; n: number; mean: number | null; std: number | null }[]
}

export interface RunFacts {
  steps: number
  totalSteps?: number
  loss?: number
  evalLoss?: number
  seconds?: number
  checkpoints: number[]
}

// ── doctor ───────────────────────────────────────────────────────────────────────────────────────────────────────

export interface EngineReport {
  name: string
  found: boolean
  /** Why it is not there. */
  reason?: string
  /** Composite ops it has kernels of its own for; the others are expanded into core ops. */
  kernels: string[]
  selfTest?: { passed: boolean; cases: number; seconds: number; problems: string[] }
}

export interface Machine {
  cpu: string
  /** Logical processors this process may use. */
  cores: number
  /** Vector units that matter to matrix products; absent where the system does not say. */
  flags?: { avx2: boolean; avx512: boolean; amx: boolean; neon: boolean }
  memoryBytes: number
  freeMemoryBytes: number
  /** Where a container allows less than the machine has. */
  memoryLimitBytes?: number
  system: string
}

export interface DoctorReport {
  lowrank: string
  node: string
  machine: Machine
  engines: EngineReport[]
  caches: { name: string; path: string; exists: boolean; models?: string[] }[]
  offline: boolean
  token: boolean
}
