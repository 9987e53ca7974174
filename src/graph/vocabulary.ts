/**
 * @file The op vocabulary: names, inputs and parameters of every op, as types. Rule tables (`{ [K in OpName]: … }`)
 * elsewhere stop compiling when an op is added here without its rule. Must not know what an op computes.
 *
 * Core ops are what every engine lowers. Composite ops carry an expansion into other ops; an engine names the
 * composites it has kernels for, and the rest are expanded before lowering.
 */
import type { DType } from '../tensor/dtype.ts'
import type { TensorType } from './tensor-type.ts'

type NoParams = Record<never, never>

/** Inputs by name (a tuple), or `many` for any number of them; required parameters; optional ones. */
interface Op<Inputs extends readonly string[] | 'many', Params = NoParams, Optional = NoParams> {
  inputs: Inputs
  params: Params
  optional: Optional
}

/** Where a graph's input comes from: fed each run, a frozen weight bound at compile, or state the engine keeps. */
export type InputKind = 'feed' | 'weight' | 'state'

type Shape = TensorType['shape']
type Unary = Op<['x']>
type Binary = Op<['a', 'b']>
/** Cotangent of one input of attention, given its output y and that output's cotangent. */
type AttentionGrad = Op<['q', 'k', 'v', 'bias', 'y', 'dy'], { scale: number }, { causal: boolean }>
type Reduction = Op<['x'], { axes: readonly number[] }, { keepDims: boolean }>

export interface CoreOps {
  // Leaves
  input: Op<[], { name: string; kind: InputKind; type: TensorType }>
  constant: Op<[], { dtype: 'f32' | 'i64'; shape: readonly number[]; values: readonly number[] }>
  // Element by element; binary ops broadcast as NumPy does
  neg: Unary
  exp: Unary
  log: Unary
  sqrt: Unary
  reciprocal: Unary
  tanh: Unary
  sigmoid: Unary
  erf: Unary
  sin: Unary
  cos: Unary
  add: Binary
  sub: Binary
  mul: Binary
  div: Binary
  maximum: Binary
  minimum: Binary
  equal: Binary
  less: Binary
  lessEqual: Binary
  and: Binary
  not: Unary
  select: Op<['condition', 'whenTrue', 'whenFalse']>
  cast: Op<['x'], { to: DType }>
  // Reductions and products
  sum: Reduction
  reduceMax: Reduction
  /** `alpha · op(a) · op(b)` over the last two axes; leading axes broadcast. */
  matmul: Op<['a', 'b'], NoParams, { transA: boolean; transB: boolean; alpha: number }>
  // Shape
  reshape: Op<['x'], { shape: Shape }>
  transpose: Op<['x'], { perm: readonly number[] }>
  expand: Op<['x'], { shape: Shape }>
  slice: Op<['x'], { axis: number; start: number; size: number }>
  /** Zeros before and after along one axis. */
  pad: Op<['x'], { axis: number; before: number; after: number }>
  concat: Op<'many', { axis: number }>
  // Indexing
  /** Rows of a table: `[n, …], i64[…i] → [...i, …]`. `distinct`: no id comes twice, which its derivative may rely on. */
  gather: Op<['table', 'ids'], NoParams, { distinct: boolean }>
  /** Adds rows into zeros: `i64[…i], f32[…i, …d] → f32[rows, …d]`. `distinct`: no id comes twice. */
  scatterAdd: Op<['ids', 'updates'], { rows: TensorType['shape'][number] }, { distinct: boolean }>
  /** One element of the last axis for each row: `f32[…, n], i64[…] → f32[…]`. */
  takeLast: Op<['x', 'ids']>
  oneHot: Op<['ids'], { depth: number }>
  /**
   * 0 or 1/(1−rate) by hashing `u32[…lead, n]` keys, the site and the place along further axes: `f32[…lead, …before, n,
   * …trailing]` (see ops/indexing.ts).
   */
  dropoutMask: Op<['keys'], { site: number; rate: number; trailing: Shape }, { before: Shape }>
  // Structure
  /** Identity that stops gradients. */
  detach: Unary
  /** Identity on x that is computed only after `after`: keeps recomputed forward work where the backward needs it. */
  barrier: Op<['x', 'after']>
}

/** Shape of the activation functions Hugging Face configs name. */
export type GeluKind = 'erf' | 'tanh' | 'quick'

export interface CompositeOps {
  silu: Unary
  siluGrad: Op<['x', 'dy']>
  relu: Unary
  gelu: Op<['x'], { kind: GeluKind }>
  geluGrad: Op<['x', 'dy'], { kind: GeluKind }>
  softmax: Unary
  softmaxGrad: Op<['y', 'dy']>
  /** `mask ⊙ softmax(x)`: attention weights that dropout has seen. */
  maskedSoftmax: Op<['x', 'mask']>
  maskedSoftmaxGrad: Op<['p', 'y', 'dy']>
  rmsNorm: Op<['x', 'weight'], { eps: number }>
  rmsNormGrad: Op<['x', 'weight', 'dy'], { eps: number }>
  layerNorm: Op<['x', 'weight', 'bias'], { eps: number }>
  /** LayerNorm without weight and bias. */
  standardise: Op<['x'], { eps: number }>
  layerNormGrad: Op<['x', 'weight', 'dy'], { eps: number }>
  /** Rotates pairs (i, i + d/2) of the last axis: `f32[b, h, s, d], f32[b, s, d/2] ×2`. */
  rotary: Op<['x', 'cos', 'sin']>
  /**
   * `softmax(scale·q·kᵀ + bias)·v` with grouped heads: q `[b, h, s, d]`, k and v `[b, hkv, t, d]`, bias `[b, 1, s, t]`.
   * `causal`: s = t, and a query need not look at keys that stand after it, whatever the bias says of them.
   */
  attention: Op<['q', 'k', 'v', 'bias'], { scale: number }, { causal: boolean }>
  attentionGradQuery: AttentionGrad
  attentionGradKey: AttentionGrad
  attentionGradValue: AttentionGrad
  /** `scale · (x·Aᵀ)·Bᵀ`, never forming B·A: x `[…, in]`, A `[r, in]`, B `[out, r]`, scale a scalar or `[batch, 1, 1]`. */
  lowRank: Op<['x', 'a', 'b', 'scale']>
  /** −log softmax(logits)[label] for each row: `f32[n, vocab], i64[n] → f32[n]`. */
  crossEntropy: Op<['logits', 'labels']>
  crossEntropyGrad: Op<['logits', 'labels', 'dy']>
  /**
   * crossEntropy(hidden·weightᵀ, labels) without keeping logits: `f32[n, d], f32[vocab, d], i64[n] → f32[n]`. `softcap`:
   * logits are squashed into ±softcap by tanh before; 0 for none.
   */
  linearCrossEntropy: Op<['hidden', 'weight', 'labels'], NoParams, { softcap: number }>
  linearCrossEntropyGrad: Op<['hidden', 'weight', 'labels', 'dy'], NoParams, { softcap: number }>
}

export interface Ops extends CoreOps, CompositeOps {}
export type CoreName = keyof CoreOps
export type CompositeName = keyof CompositeOps
export type OpName = keyof Ops

/** All parameters of an op, optional ones filled in. */
export type ParamsOf<K extends OpName> = Readonly<Ops[K]['params'] & Ops[K]['optional']>
/** Names of an op's inputs. */
export type InputNames<K extends OpName> = Ops[K]['inputs'] extends readonly string[] ? Ops[K]['inputs'][number] : never
