/**
 * @file From a loralib state to the config and tensors of a PEFT adapter, and back, with the same ΔW.
 * Must not know files, or the model they belong to.
 */
import { describeLoralib, type LoralibLayer, type LoralibState, moduleOf } from '../formats/loralib.ts'
import { loraConfig } from '../formats/peft-config.ts'
import type { PeftLoraConfig, TaskType } from '../formats/peft-fields.ts'
import { LowrankError } from '../support/errors.ts'
import { f32, type HostTensor, tensor } from '../tensor/host-tensor.ts'
import { fileKey, idOfKey } from './keys.ts'
import { asF32 } from './low-rank-update.ts'
import { siteScale } from './patterns.ts'

export interface LoralibOptions {
  /** `lora_alpha` of the layers, which loralib does not save. */
  readonly alpha: number
  /** Which parts of fused layers have an update. @default GPT-2's [true, false, true] for two, all for more */
  readonly enableLora?: readonly boolean[] | undefined
  /** Recorded as the base of the adapter. */
  readonly base?: string | undefined
}

export interface ConvertedAdapter {
  readonly config: PeftLoraConfig
  readonly tensors: Map<string, HostTensor>
  readonly state: LoralibState
  /** Parts assumed of fused layers, where the options do not name them. */
  readonly assumed: readonly boolean[] | undefined
}

/**
 * Converts a state to PEFT's. A fused layer of k parts becomes one LoRA of rank r·k whose B is zero outside each part's
 * block, with alpha·k: PEFT has no layer of its own for it, and ΔW is the same.
 * @throws {LowrankError} `format` for tensors that do not go together, `unsupported` for a whole model's state, `usage`
 * for parts that do not fit, naming file and module.
 */
export function peftOfLoralib(
  tensors: ReadonlyMap<string, HostTensor>,
  options: LoralibOptions,
  file: string,
): ConvertedAdapter {
  const state = describeLoralib([...tensors].map(([name, { shape }]) => ({ name, shape })))
  refuse(state, file)
  const out = new Map<string, HostTensor>()
  let assumed: readonly boolean[] | undefined
  for (const layer of state.layers) {
    const [a, b] = [valuesOf(tensors, `${layer.path}.lora_A`), valuesOf(tensors, `${layer.path}.lora_B`)]
    const enabled = partsOf(layer, options.enableLora, file)
    if (layer.parts > 1 && options.enableLora === undefined) assumed = enabled
    const [keyA, keyB] =
      layer.kind === 'embedding' ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A.weight', 'lora_B.weight']
    out.set(fileKey(`${layer.path}.${keyA}`), f32([layer.rank * layer.parts, layer.inFeatures], a))
    out.set(fileKey(`${layer.path}.${keyB}`), spreadParts(layer, enabled, b))
  }
  const adapted = new Set(state.layers.map(({ path }) => path))
  for (const name of [...state.biases, ...state.whole]) {
    const held = tensors.get(name)
    const own = adapted.has(moduleOf(name)) ? `${moduleOf(name)}.base_layer.bias` : name
    if (held) out.set(fileKey(own), f32(held.shape, valuesOf(tensors, name)))
  }
  return { config: configOf(state, options), tensors: out, state, assumed }
}

function refuse({ problems, base, layers, whole }: LoralibState, file: string): void {
  const [problem] = problems
  if (problem !== undefined)
    throw new LowrankError('format', `${file}: ${problem}`, { file, field: problem.split(' ')[0] })
  const [weight] = base
  if (weight !== undefined)
    throw new LowrankError(
      'unsupported',
      `${file} holds the weights of the adapted layers too (${weight}): what of it was trained cannot be told`,
      { file, field: weight, suggestion: 'save lora.lora_state_dict(model), with the head besides' },
    )
  const trunk = layers.map(({ path }) => path.split('.')[0])
  const inner = whole.find((name) => trunk.includes(name.split('.')[0]) && !isHead(name))
  if (inner !== undefined && whole.length > WHOLE_CAP)
    throw new LowrankError(
      'unsupported',
      `${file} holds ${whole.length} tensors of the base besides, ${inner} for one`,
      {
        file,
        field: inner,
        suggestion: 'save lora.lora_state_dict(model), with the head besides',
      },
    )
}

/** Heads have a few tensors; norms of every layer trained whole are not what loralib does. */
const WHOLE_CAP = 16

function isHead(name: string): boolean {
  return /^(classifier|score|lm_head|pre_classifier|qa_outputs)\b/.test(name)
}

function partsOf(layer: LoralibLayer, given: readonly boolean[] | undefined, file: string): readonly boolean[] {
  const { parts, path, outFeatures } = layer
  if (parts === 1) return [true]
  const enabled = given ?? (parts === 2 ? [true, false, true] : Array<boolean>(parts).fill(true))
  const count = enabled.filter((on) => on).length
  if (count !== parts)
    throw new LowrankError(
      'usage',
      `${path} of ${file} has updates of ${parts} parts (${outFeatures / parts} outputs each), enable-lora switches ${count} on`,
      { file, field: 'enable-lora', suggestion: 'give it as the layer had it, for example true,false,true' },
    )
  return enabled
}

/** B `[parts·d, r]` → `[all·d, r·parts]`: each part's rows at its place, in columns of its own. */
function spreadParts(
  { rank, parts, outFeatures }: LoralibLayer,
  enabled: readonly boolean[],
  b: Float32Array,
): HostTensor {
  const height = outFeatures / parts
  const width = rank * parts
  const out = new Float32Array(enabled.length * height * width)
  let part = 0
  for (const [place, on] of enabled.entries()) {
    if (!on) continue
    for (let row = 0; row < height; row++)
      for (let column = 0; column < rank; column++)
        out[(place * height + row) * width + part * rank + column] = b[(part * height + row) * rank + column] ?? 0
    part++
  }
  return f32([enabled.length * height, width], out)
}

function configOf(state: LoralibState, { alpha, base }: LoralibOptions): PeftLoraConfig {
  const { layers, whole, biasKind } = state
  const ranks = layers.map(({ path, rank, parts }) => ({ path, r: rank * parts, alpha: alpha * parts }))
  const r = commonest(ranks.map((layer) => layer.r))
  const common = commonest(ranks.filter((layer) => layer.r === r).map((layer) => layer.alpha))
  const patterns = (key: 'r' | 'alpha', usual: number): Record<string, number> =>
    Object.fromEntries(ranks.flatMap((layer) => (layer[key] === usual ? [] : [[layer.path, layer[key]]])))
  const saved = savedModules(state)
  return loraConfig({
    r,
    lora_alpha: common,
    rank_pattern: patterns('r', r),
    alpha_pattern: patterns('alpha', common),
    target_modules: layers.map(({ path }) => path),
    fan_in_fan_out: layers.filter(({ kind }) => kind !== 'embedding').at(-1)?.kind === 'conv1d',
    bias: biasKind,
    task_type: taskOf(state),
    ...(base === undefined ? {} : { base_model_name_or_path: base }),
    ...(whole.length > 0 ? { modules_to_save: saved } : {}),
  })
}

/** The top of what was trained whole, where no adapted layer lies under it: PEFT names a classifier so. */
function savedModules({ whole, layers }: LoralibState): string[] {
  const trunks = new Set(layers.map(({ path }) => path.split('.')[0]))
  return [
    ...new Set(whole.map((name) => (trunks.has(name.split('.')[0]) ? moduleOf(name) : (name.split('.')[0] ?? name)))),
  ]
}

function taskOf({ whole, layers }: LoralibState): TaskType | null {
  if (whole.some((name) => /^(classifier|score)\./.test(name))) return 'SEQ_CLS'
  return layers.every(({ path }) => /^(transformer\.(h|wte|wpe)|model\.(layers|embed_tokens))\b/.test(path))
    ? 'CAUSAL_LM'
    : null
}

function commonest(values: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].reduce((best, next) => (next[1] > best[1] ? next : best), [values[0] ?? 0, 0])[0]
}

function valuesOf(tensors: ReadonlyMap<string, HostTensor>, name: string): Float32Array {
  const held = tensors.get(name)
  if (held) return asF32(held, name)
  throw new LowrankError('format', `there is no tensor ${name}`, { field: name })
}

/** A layer as loralib's constructor wants it. */
export interface LoralibArguments {
  readonly path: string
  readonly r: number
  readonly alpha: number
}

/** What follows a module's path in PEFT's key, and in loralib's. */
const SUFFIXES: readonly (readonly [peft: string, loralib: string])[] = [
  ['.lora_A.weight', '.lora_A'],
  ['.lora_B.weight', '.lora_B'],
  ['.lora_embedding_A', '.lora_A'],
  ['.lora_embedding_B', '.lora_B'],
  ['.base_layer.bias', '.bias'],
]

/**
 * The loralib state with the same ΔW as a PEFT adapter: each layer a `lora.Linear` or `lora.Embedding`.
 * @throws {LowrankError} `unsupported` naming what loralib has no place for: DoRA, rsLoRA's scale, a bias on B, trained tokens.
 */
export function loralibOfPeft(
  config: PeftLoraConfig,
  tensors: ReadonlyMap<string, HostTensor>,
  folder: string,
): { tensors: Map<string, HostTensor>; layers: LoralibArguments[] } {
  const fail = (field: string, what: string): never => {
    throw new LowrankError('unsupported', `${folder}: loralib has no ${what}`, { file: folder, field })
  }
  if (config.use_dora) fail('use_dora', 'DoRA')
  if (config.use_rslora) fail('use_rslora', 'scale by √r (rsLoRA)')
  if (config.lora_bias) fail('lora_bias', 'bias on B')
  if (config.trainable_token_indices !== null) fail('trainable_token_indices', 'trained tokens')
  const out = new Map<string, HostTensor>()
  const layers: LoralibArguments[] = []
  for (const [key, held] of tensors) {
    const id = idOfKey(key) ?? key
    const [peft, loralib] = SUFFIXES.find(([suffix]) => id.endsWith(suffix)) ?? ['', '']
    const path = id.slice(0, id.length - peft.length)
    if (peft === '' && /(lora_|\.base_layer\.|\.original_module\.|\.modules_to_save\.)/.test(id))
      fail(key, `place for ${key}`)
    out.set(path + loralib, tensor('f32', held.shape, asF32(held, key)))
    if (loralib === '.lora_A') layers.push({ path, ...pick(siteScale(config, path)) })
  }
  return { tensors: out, layers }
}

function pick({ r, alpha }: { r: number; alpha: number }): { r: number; alpha: number } {
  return { r, alpha }
}
