/**
 * @file Phi-3 and Phi-4 mini (arXiv 2404.14219): Llama's block with q, k, v in one layer and gate, up in another, and
 * LongRoPE. Must not know training or engines. Fields: transformers `Phi3Config`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import type { Node } from '../graph/types.ts'
import { activate } from './activation.ts'
import { causalLM } from './causal-lm.ts'
import { embedTokens, type LlamaConfig, llamaFamily, llamaFields, llamaNorm } from './llama.ts'
import type { Net } from './net.ts'

interface Phi3Config extends Omit<LlamaConfig, 'qkvBias' | 'outputBias' | 'mlpBias' | 'window'> {
  readonly window: number | undefined
  /** Dropout of what a sublayer adds. */
  readonly residualDropout: number
}

export const phi3 = causalLM<Phi3Config>({
  ...llamaFamily,
  modelTypes: ['phi3'],
  config: phi3Config,
  body(net, c, ids) {
    let h = embedTokens(net, c, ids)
    for (let layer = 0; layer < c.layers; layer++) h = net.scope(`model.layers.${layer}`, () => block(net, c, h))
    return llamaNorm(net, c, 'model.norm', h)
  },
})

function phi3Config(raw: HfConfig): Phi3Config {
  // Named in the config, applied nowhere by transformers' Phi3Model.
  raw.value('embd_pdrop')
  raw.require({ attention_bias: false, mlp_bias: false, lm_head_bias: false, full_attn_mod: 1, interpolate_factor: 1 })
  const original = raw.int('original_max_position_embeddings', { min: 1, default: 4096 })
  return {
    ...llamaFields(raw, { rope: { partial: 1, original, types: ['default', 'longrope'] }, rmsNormEps: 1e-5 }),
    window: raw.int('sliding_window', { min: 1, default: undefined }),
    residualDropout: raw.number('resid_pdrop', { min: 0, max: 1, default: 0 }),
  }
}

function block(net: Net, c: Phi3Config, x: Node): Node {
  const { g } = net
  const normed = llamaNorm(net, c, 'input_layernorm', x)
  const mixed = net.scope('self_attn', () => attention(net, c, normed))
  const h = g.add(x, net.dropout('resid_attn_dropout', mixed, c.residualDropout))
  const normedAgain = llamaNorm(net, c, 'post_attention_layernorm', h)
  const out = net.scope('mlp', () => mlp(net, c, normedAgain))
  return g.add(h, net.dropout('resid_mlp_dropout', out, c.residualDropout))
}

function attention(net: Net, c: Phi3Config, x: Node): Node {
  const [queries, keys] = [c.heads * c.headDim, c.kvHeads * c.headDim]
  const qkv = net.linear('qkv_proj', x, queries + 2 * keys)
  const part = (start: number, size: number, heads: number): Node =>
    net.splitHeads(net.g.slice(qkv, { axis: 2, start, size }), heads)
  const mixed = net.attention({
    q: net.rotary(part(0, queries, c.heads), c.rope),
    k: net.rotary(part(queries, keys, c.kvHeads), c.rope),
    v: part(queries + keys, keys, c.kvHeads),
    window: c.window,
    dropout: c.attentionDropout,
  })
  return net.linear('o_proj', mixed, c.hiddenSize)
}

function mlp(net: Net, c: Phi3Config, x: Node): Node {
  const both = net.linear('gate_up_proj', x, 2 * c.intermediateSize)
  const half = (start: number): Node => net.g.slice(both, { axis: 2, start, size: c.intermediateSize })
  const gated = net.g.mul(half(c.intermediateSize), activate(net.g, c.activation, half(0)))
  return net.linear('down_proj', gated, c.hiddenSize)
}
