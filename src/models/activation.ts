/** @file Activation functions by the names Hugging Face configs give them (transformers `ACT2FN`). */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'

const ACTIVATIONS = {
  silu: (g, x) => g.silu(x),
  swish: (g, x) => g.silu(x),
  relu: (g, x) => g.relu(x),
  gelu: (g, x) => g.gelu(x, { kind: 'erf' }),
  gelu_new: (g, x) => g.gelu(x, { kind: 'tanh' }),
  gelu_fast: (g, x) => g.gelu(x, { kind: 'tanh' }),
  gelu_pytorch_tanh: (g, x) => g.gelu(x, { kind: 'tanh' }),
  quick_gelu: (g, x) => g.gelu(x, { kind: 'quick' }),
  tanh: (g, x) => g.tanh(x),
} satisfies Record<string, (g: Builder, x: Node) => Node>

export type Activation = keyof typeof ACTIVATIONS
const NAMES = Object.keys(ACTIVATIONS) as Activation[]

export function isActivation(name: string): name is Activation {
  return Object.hasOwn(ACTIVATIONS, name)
}

/** Reads an activation's name. @throws LowrankError 'config' naming the nearest that is built. */
export function activationOf(config: HfConfig, field: string, fallback: Activation): Activation {
  return config.oneOf(field, NAMES, { default: fallback })
}

export function activate(g: Builder, name: Activation, x: Node): Node {
  return ACTIVATIONS[name](g, x)
}
