/** @file What the small files of a folder say: model config, adapter config, training log. Must not read weights. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { AdapterConfig } from '../../formats/adapter-folder.ts'
import { type HfConfig, parseHfConfig } from '../../formats/hf-config.ts'
import type { ParsedLoraConfig } from '../../formats/peft-config.ts'
import { modelOf } from '../../models/registry.ts'
import { describeSizes } from '../../peft/hub-bottleneck.ts'
import { isLowrankError } from '../../support/errors.ts'
import { pathKind, readJson } from '../../support/files.ts'
import { isRecord } from '../../support/json.ts'
import { readTrainerLog } from '../report/trainer-log.ts'
import type { AdapterFacts, ModelFacts, RunFacts } from '../types.ts'

/** Facts of a model folder's config.json, and its class. */
export async function modelFacts(folder: string): Promise<{ architecture: string | null; model: ModelFacts }> {
  const file = join(folder, 'config.json')
  const json = await readJson(file)
  const raw = isRecord(json) ? json : {}
  const number = (...fields: string[]): number | undefined =>
    fields.map((field) => raw[field]).find((value): value is number => typeof value === 'number')
  const sizes = {
    layers: number('num_hidden_layers', 'n_layer', 'n_layers'),
    hidden: number('hidden_size', 'n_embd', 'dim'),
    heads: number('num_attention_heads', 'n_head', 'n_heads'),
    kvHeads: number('num_key_value_heads'),
    vocabulary: number('vocab_size'),
    context: number('max_position_embeddings', 'n_positions'),
  }
  const tokenizer = (await pathKind(join(folder, 'tokenizer.json'))) === 'file'
  const model: ModelFacts = {
    modelType: typeof raw.model_type === 'string' ? raw.model_type : 'unknown',
    ...defined(sizes),
    tokenizer,
    chatTemplate: await hasChatTemplate(folder),
    ...support(json, file),
  }
  const architecture = Array.isArray(raw.architectures) ? raw.architectures[0] : undefined
  return { architecture: typeof architecture === 'string' ? architecture : null, model }
}

function support(json: unknown, file: string): { supported: boolean; reason?: string } {
  try {
    const config: HfConfig = parseHfConfig(json, file)
    modelOf(config)
    return { supported: true }
  } catch (error) {
    if (!isLowrankError(error)) throw error
    return { supported: false, reason: error.message }
  }
}

async function hasChatTemplate(folder: string): Promise<boolean> {
  if ((await pathKind(join(folder, 'chat_template.jinja'))) === 'file') return true
  const file = join(folder, 'tokenizer_config.json')
  if ((await pathKind(file)) !== 'file') return false
  const config = await readJson(file)
  return isRecord(config) && config.chat_template !== undefined && config.chat_template !== null
}

/** Facts of an adapter's configuration. */
export function adapterFacts({ config, warnings }: ParsedLoraConfig): AdapterFacts {
  const extras = [
    config.use_dora ? 'DoRA' : '',
    config.use_rslora ? 'rsLoRA' : '',
    config.bias === 'none' ? '' : `bias ${config.bias}`,
    config.lora_bias ? 'lora_bias' : '',
    config.modules_to_save?.length ? `modules to save ${config.modules_to_save.join(', ')}` : '',
    config.trainable_token_indices === null ? '' : 'trainable tokens',
    Object.keys(config.rank_pattern).length > 0 ? 'rank pattern' : '',
    Object.keys(config.alpha_pattern).length > 0 ? 'alpha pattern' : '',
  ]
  return {
    method: config.peft_type,
    ...defined({ base: config.base_model_name_or_path ?? undefined, targets: config.target_modules ?? undefined }),
    rank: config.r,
    alpha: config.lora_alpha,
    dropout: config.lora_dropout,
    extras: extras.filter((extra) => extra !== ''),
    warnings: [...warnings],
  }
}

/** Facts of an adapter that is none of PEFT's. */
export function partsFacts(adapter: Exclude<AdapterConfig, { kind: 'peft' }>): AdapterFacts {
  if (adapter.kind === 'parts') {
    const { method, base_model_name_or_path: base } = adapter.config
    return { method, ...defined({ base: base ?? undefined }), extras: [], warnings: [] }
  }
  const { model_name: base, hidden_size: hidden, config } = adapter.config
  const { mh_adapter: attention, output_adapter: feedForward, leave_out: left, scaling } = config
  const extras = [
    `bottleneck ${describeSizes(config.reduction_factor, hidden)}`,
    `after ${[attention ? 'attention' : '', feedForward ? 'feed-forward' : ''].filter((place) => place !== '').join(' and ')}`,
    config.non_linearity,
    config.is_parallel ? 'parallel' : '',
    scaling === 1 ? '' : `scaling ${scaling}`,
    left.length === 0 ? '' : `none in layers ${left.join(', ')}`,
  ]
  return {
    method: 'bottleneck (AdapterHub)',
    ...defined({ base: base ?? undefined }),
    extras: extras.filter((extra) => extra !== ''),
    warnings: [...adapter.warnings],
  }
}

/** How far a run is, by its log and checkpoints. */
export async function runFacts(folder: string): Promise<RunFacts> {
  const { steps, evals } = await readTrainerLog(join(folder, 'trainer_log.jsonl'))
  const last = steps.at(-1)
  const checkpoints = (await readdir(folder)).flatMap((name) => {
    const step = /^checkpoint-(\d+)$/.exec(name)?.[1]
    return step === undefined ? [] : [Number(step)]
  })
  return {
    steps: last?.step ?? 0,
    ...defined({
      totalSteps: last?.totalSteps,
      loss: last?.loss,
      seconds: last?.elapsedSeconds,
      evalLoss: evals.at(-1)?.evalLoss,
    }),
    checkpoints: checkpoints.sort((a, b) => a - b),
  }
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/** Leaves out what is undefined. */
function defined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>
}
