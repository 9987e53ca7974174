/**
 * @file Recognises state files of microsoft/LoRA (loralib) and says what is in them: its layers, biases and whole modules.
 * Must not know files, or how a layer becomes PEFT's.
 * Source: loralib 0.1.2, layers.py (Linear, Embedding, MergedLinear) and utils.py (lora_state_dict).
 */

/** What a file lists of a tensor. */
export interface ListedTensor {
  readonly name: string
  readonly shape: readonly number[]
}

export interface LoralibLayer {
  /** Module: `transformer.h.0.attn.c_attn`. */
  readonly path: string
  /** By the module's name: the file does not say. */
  readonly kind: 'linear' | 'conv1d' | 'embedding'
  /** Rank of each part. */
  readonly rank: number
  /** Parts of a fused layer that have an update of their own (MergedLinear); 1 for a plain one. */
  readonly parts: number
  /** Columns of A: inputs, or tokens of an embedding. */
  readonly inFeatures: number
  /** Rows of B: outputs, of a fused layer those of its adapted parts. */
  readonly outFeatures: number
}

export interface LoralibState {
  readonly layers: readonly LoralibLayer[]
  /** Biases saved besides, by name; of adapted layers alone where `biasKind` is `lora_only`. */
  readonly biases: readonly string[]
  readonly biasKind: 'none' | 'lora_only' | 'all'
  /** Tensors of modules that were trained whole, by name: a classifier's head. */
  readonly whole: readonly string[]
  /** Weights of the adapted layers themselves: the file is a whole model's state. */
  readonly base: readonly string[]
  /** What is wrong with it, where something is. */
  readonly problems: readonly string[]
}

/** Whether tensors look like loralib's: `<module>.lora_A`, where PEFT writes `<module>.lora_A.weight`. */
export function isLoralib(names: Iterable<string>): boolean {
  for (const name of names) if (name.endsWith('.lora_A')) return true
  return false
}

/** Sorts the tensors of a loralib state file. */
export function describeLoralib(tensors: readonly ListedTensor[]): LoralibState {
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]))
  const paths = tensors.flatMap(({ name }) => (name.endsWith('.lora_A') ? [name.slice(0, -'.lora_A'.length)] : []))
  const adapted = new Set(paths)
  const problems: string[] = []
  const layers: LoralibLayer[] = []
  for (const path of paths) {
    const layer = layerOf(path, shapes.get(`${path}.lora_A`), shapes.get(`${path}.lora_B`))
    if (typeof layer === 'string') problems.push(`${path} ${layer}`)
    else layers.push(layer)
  }
  const rest = tensors.filter(({ name }) => !/\.lora_[AB]$/.test(name)).map(({ name }) => name)
  const orphans = tensors.filter(({ name }) => name.endsWith('.lora_B') && !adapted.has(moduleOf(name)))
  problems.push(...orphans.map(({ name }) => `${moduleOf(name)} has lora_B without lora_A`))
  const base = rest.filter((name) => adapted.has(moduleOf(name)) && !name.endsWith('.bias'))
  const others = rest.filter((name) => !base.includes(name))
  // A bias stands alone where only biases were trained; beside its weight it belongs to a module trained whole.
  const alone = (name: string): boolean => name.endsWith('.bias') && !shapes.has(`${moduleOf(name)}.weight`)
  const biases = others.filter(alone)
  const onlyAdapted = biases.every((name) => adapted.has(moduleOf(name)))
  return {
    layers,
    biases,
    biasKind: biases.length === 0 ? 'none' : onlyAdapted ? 'lora_only' : 'all',
    whole: others.filter((name) => !alone(name)),
    base,
    problems,
  }
}

/** GPT-2's projections, which store their weight `[in, out]`. */
const CONV1D = new Set(['c_attn', 'c_proj', 'c_fc', 'q_attn'])

function layerOf(
  path: string,
  a: readonly number[] | undefined,
  b: readonly number[] | undefined,
): LoralibLayer | string {
  if (b === undefined) return 'has lora_A without lora_B'
  const [rows = 0, inFeatures = 0] = a ?? []
  const [outFeatures = 0, rank = 0] = b
  if (a?.length !== 2 || b.length !== 2) return `has lora_A [${a}] and lora_B [${b}], not two matrices`
  const parts = rows / rank
  if (!Number.isInteger(parts) || parts < 1 || outFeatures % parts !== 0)
    return `has lora_A [${a}] and lora_B [${b}], which do not go together`
  const name = path.slice(path.lastIndexOf('.') + 1)
  const kind = /embed|^wte$|^wpe$/.test(name) ? 'embedding' : CONV1D.has(name) ? 'conv1d' : 'linear'
  return { path, kind, rank, parts, inFeatures, outFeatures }
}

/** `a.b.bias` → `a.b`. */
export function moduleOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('.')))
}
