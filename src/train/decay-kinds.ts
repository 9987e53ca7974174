/** @file Kinds of tensors that weight decay can be told to leave alone. Must not know optimizers. */
import type { ModuleInfo } from '../models/modules.ts'
import type { AdapterTensor } from '../peft/layout.ts'
import type { GroupRule } from './parameter-groups.ts'

/**
 * `bias`: every bias, an adapter's too. `norm`: weights and biases of LayerNorms and RMSNorms. `head`: what stands above the
 * last layer. `embedding`: tables of tokens, positions and token types.
 */
export const DECAY_KINDS = ['bias', 'norm', 'head', 'embedding'] as const
export type DecayKind = (typeof DECAY_KINDS)[number]

/** Decay of all but tensors of these kinds. */
export function decayRule(modules: readonly ModuleInfo[], without: readonly DecayKind[]): Pick<GroupRule, 'decays'> {
  const byPath = new Map(modules.map((module) => [module.path, module]))
  const is: { readonly [K in DecayKind]: (tensor: AdapterTensor) => boolean } = {
    bias: ({ id, role }) => role === 'bias' || role === 'lora_bias' || /(^|\.)bias$/.test(id),
    norm: (tensor) => stands(tensor) && byPath.get(tensor.module)?.kind === 'norm',
    head: (tensor) => byPath.get(tensor.module)?.isAbove === true,
    embedding: (tensor) => byPath.get(tensor.module)?.kind === 'embedding',
  }
  return { decays: (tensor) => !without.some((kind) => is[kind](tensor)) }
}

/** A tensor of the model itself, where an adapter's own may sit at a norm. */
const stands = ({ role }: AdapterTensor): boolean => role === 'saved' || role === 'bias'
