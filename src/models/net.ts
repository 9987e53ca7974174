/**
 * @file The layers a model is written in. A net holds what a model file need not know: where weights come from, what
 * sits at a layer, positions and segments, the key/value cache, whether dropout acts.
 * Must not know adapter methods: `Wiring` is the seam they plug into.
 */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import { invariant } from '../support/errors.ts'
import { hashName } from '../support/random.ts'
import { mulDims, sameShape } from '../tensor/dim.ts'
import { attentionByParts, squash } from './attention.ts'
import type { ModuleInfo, SiteModule, Sublayer } from './modules.ts'
import type { Rope } from './rope.ts'
import { angles, turn } from './rotary.ts'

/** A frozen (or fully trained) layer, as an adapter meets it. */
export interface Layer {
  readonly site: SiteModule
  /** As stored: `[out, in]`, `[in, out]` for Conv1D, `[vocab, width]` for embeddings. */
  readonly weight: Node
  readonly bias: Node | undefined
  /** The layer itself on any input, bias included. */
  apply(x: Node): Node
  /** The layer without its bias. */
  product(x: Node): Node
}

/** What a run plugs into a net. */
export interface Wiring {
  /**
   * A tensor of the base by its Hugging Face name, frozen or trained; `sharedWith` is the tensor a tied head borrows. A
   * vector may be one a row of the batch, `f32[batch, 1, width]`, where what it meets is `f32[batch, seq, width]`.
   */
  base(name: string, shape: readonly number[], sharedWith?: string): Node
  /** Called for every layer an adapter can sit at; the default is `layer.apply(x)`. */
  adapt?(layer: Layer, x: Node): Node | undefined
  /** Called where a sublayer ends; the default is `meeting.out`. */
  adaptSublayer?(sublayer: Sublayer, meeting: Meeting): Node | undefined
  /** Called once a module, in order. */
  onModule?(module: ModuleInfo): void
  onSublayer?(sublayer: Sublayer): void
}

/** What meets at the end of a sublayer, all `f32[batch, seq, hidden]`. */
export interface Meeting {
  /** What the sublayer gives, its dropout done. */
  readonly out: Node
  /** What it was given, to be added. */
  readonly residual: Node
  /** The norm that follows the sum; absent where a model norms before its sublayers. */
  norm?(x: Node): Node
}

/** The runtime inputs of a net, all `i64`. */
export interface NetInputs {
  /** Place of each token within its sample, `[batch, seq]`. */
  readonly positions: Node
  /** Sample number within a packed row; 0 is padding, `[batch, seq]`. */
  readonly segments: Node
  /** The same for the keys a query may look at, `[batch, past+seq]`; in training the two above. */
  readonly keyPositions: Node
  readonly keySegments: Node
  /** `u32[batch, seq]` keys of dropout masks; absent outside training. */
  readonly dropoutKeys?: Node | undefined
  /** The keys of rows picked from them, `u32[n]`, and one of the whole step for what no row owns, `u32[1]`. */
  readonly rowKeys?: Node | undefined
  readonly stepKey?: Node | undefined
  /** Whether dropout acts on these activations. @default it does */
  readonly drops?: ((x: Node) => boolean) | undefined
  /** Which text of a pair each token belongs to, `[batch, seq]`, and the numbers 0 to seq − 1; where a model asks for them. */
  readonly tokenTypes?: Node | undefined
  readonly columns?: Node | undefined
  /** Length of each row's whole sample, `[batch]`; where absent it follows from the keys. */
  readonly lengths?: Node | undefined
  /** Joins the past keys and values of attention layer `index`. */
  readonly cache?: ((index: number, key: Node, value: Node) => { key: Node; value: Node }) | undefined
}

export interface AttentionInputs {
  /** `f32[batch, heads, seq, headDim]`. */
  readonly q: Node
  /** `f32[batch, kvHeads, seq, headDim]`. */
  readonly k: Node
  readonly v: Node
  /** Factor on the scores. @default headDim^−1/2 */
  readonly scale?: number
  /** Only keys fewer than this many positions back (or, where it looks both ways, on) are seen. */
  readonly window?: number | undefined
  /** Tokens see those after them too (encoders). */
  readonly bidirectional?: boolean
  /** Added to the scores before the softmax, with a gradient: `f32[batch or 1, heads, seq, seq]`. */
  readonly added?: Node | undefined
  /** Dropout on the weights in training. */
  readonly dropout?: number
  /** Scores are squashed into ±softcap by tanh before the mask (Gemma 2, arXiv 2408.00118, section 2). */
  readonly softcap?: number | undefined
}

export interface LinearOptions {
  readonly bias?: boolean
  /** Weight stored `[in, out]` (GPT-2). */
  readonly conv1d?: boolean
  /** Of a classifier's head. */
  readonly isTaskHead?: boolean
}

export interface Head {
  readonly path: string
  readonly vocabSize: number
  readonly bias?: boolean
  /** Path of the module that holds the bias, where the head does not (BERT). */
  readonly biasOf?: string
  /** Path of the embedding whose weight the head shares. */
  readonly tiedTo?: string | undefined
  /** Logits are squashed into ±softcap by tanh. */
  readonly softcap?: number | undefined
}

export interface RmsNormOptions {
  /** The file holds the weight less one (Gemma). */
  readonly plusOne?: boolean
}

export interface LayerNormOptions {
  /** @default true: with weight and bias */
  readonly affine?: boolean
  /** @default true */
  readonly bias?: boolean
}

export interface Net {
  readonly g: Builder
  readonly inputs: NetInputs
  scope<T>(path: string, body: () => T): T
  embedding(name: string, ids: Node, count: number, width: number, role?: 'input'): Node
  linear(name: string, x: Node, outFeatures: number, options?: LinearOptions): Node
  rmsNorm(name: string, x: Node, eps: number, options?: RmsNormOptions): Node
  layerNorm(name: string, x: Node, eps: number, options?: LayerNormOptions): Node
  /** `[batch, seq, heads·d] → [batch, heads, seq, d]`. */
  splitHeads(x: Node, heads: number): Node
  /** Turns the first `2 · rope.inverseFrequencies.length` channels of each head by its token's position. */
  rotary(x: Node, rope: Rope): Node
  /** → `f32[batch, seq, heads·headDim]`. */
  attention(inputs: AttentionInputs): Node
  /** Of activations by token, rows picked from them, or something that the whole step shares. */
  dropout(name: string, x: Node, rate: number): Node
  /** What is added to the residual: the sublayer's output, or what an adapter makes of it. `name` is below the scope. */
  sublayer(name: string, place: Sublayer['place'], meeting: Meeting): Node
  /** Mean of each token's own sample: `f32[batch, seq, d]` → the same. */
  sampleMean(x: Node): Node
  /** Logits of rows of the last hidden state: `f32[…, d] → f32[…, vocab]`. */
  logits(head: Head, rows: Node): Node
  /** Loss of each row, without keeping logits where the head is a plain layer: `f32[n, d], i64[n] → f32[n]`. */
  headLoss(head: Head, rows: Node, labels: Node): Node
}

const MASKED = -1e30

export function createNet(g: Builder, inputs: NetInputs, wiring: Wiring): Net {
  let attentionLayers = 0

  function layer(site: SiteModule, bias: boolean, product: (x: Node, weight: Node) => Node, biasOf = site.path): Layer {
    const [rows, columns] =
      site.kind === 'linear' ? [site.outFeatures, site.inFeatures] : [site.inFeatures, site.outFeatures]
    wiring.onModule?.(site)
    const weight = wiring.base(`${site.path}.weight`, [rows, columns], site.tiedTo && `${site.tiedTo}.weight`)
    if (biasOf !== site.path)
      wiring.onModule?.({ path: biasOf, kind: 'other', parameters: [{ name: 'bias', shape: [site.outFeatures] }] })
    const biasNode = bias ? wiring.base(`${biasOf}.bias`, [site.outFeatures]) : undefined
    return {
      site,
      weight,
      bias: biasNode,
      product: (x) => product(x, weight),
      apply: (x) => (biasNode ? g.add(product(x, weight), biasNode) : product(x, weight)),
    }
  }

  const capped = (head: Head, logits: Node): Node =>
    head.softcap === undefined ? logits : squash(g, logits, head.softcap)

  const adapted = (l: Layer, x: Node): Node => wiring.adapt?.(l, x) ?? l.apply(x)

  function linearLayer(path: string, x: Node, outFeatures: number, options: LinearOptions, head?: Head): Layer {
    const inFeatures = Number(x.type.shape.at(-1))
    const { bias = false, conv1d = false, isTaskHead = false } = options
    const shape = conv1d ? [inFeatures, outFeatures] : [outFeatures, inFeatures]
    const ownsBias = bias && head?.biasOf === undefined
    const parameters = [{ name: 'weight', shape }, ...(ownsBias ? [{ name: 'bias', shape: [outFeatures] }] : [])]
    const kind: SiteModule['kind'] = conv1d ? 'conv1d' : 'linear'
    const what = { ...headInfo(head), ...(isTaskHead ? { isTaskHead } : {}) }
    const site: SiteModule = { ...what, path, kind, inFeatures, outFeatures, parameters }
    return layer(site, bias, (input, weight) => g.matmul(input, weight, { transB: !conv1d }), head?.biasOf)
  }

  const headLayer = (head: Head, x: Node): Layer =>
    linearLayer(head.path, x, head.vocabSize, { bias: head.bias ?? false }, head)

  function norm(name: string, x: Node, withBias: boolean, freshWeight = 1): { weight: Node; bias: Node | undefined } {
    const path = join(g.scope, name)
    const width = Number(x.type.shape.at(-1))
    const parameters = [{ name: 'weight', shape: [width] }, ...(withBias ? [{ name: 'bias', shape: [width] }] : [])]
    const isOffGrid = x.type.shape.length !== 3 || x.type.shape[0] !== inputs.positions.type.shape[0]
    wiring.onModule?.({ path, kind: 'norm', parameters, freshWeight, ...(isOffGrid ? { isOffGrid } : {}) })
    return {
      weight: wiring.base(`${path}.weight`, [width]),
      bias: withBias ? wiring.base(`${path}.bias`, [width]) : undefined,
    }
  }

  /** `f32[width]` of one value. */
  const flat = (x: Node, value: number): Node => {
    const width = Number(x.type.shape.at(-1))
    return g.constant({ dtype: 'f32', shape: [width], values: Array<number>(width).fill(value) })
  }

  const query = (x: Node): Node => g.reshape(x, { shape: [x.type.shape[0] ?? 1, 1, x.type.shape[1] ?? 1, 1] })
  const key = (x: Node): Node => g.reshape(x, { shape: [x.type.shape[0] ?? 1, 1, 1, x.type.shape[1] ?? 1] })
  const sameSample = (): Node => g.equal(query(inputs.segments), key(inputs.keySegments))

  /** `f32[batch, 1, seq, past+seq]`: 0 where a query may look, −1e30 elsewhere. Equal calls are one node. */
  function maskBias(window: number | undefined, bidirectional: boolean): Node {
    return g.during('forward', '', () => {
      const [position, keyPosition] = [query(inputs.positions), key(inputs.keyPositions)]
      const limit = (value: number): Node => g.constant({ dtype: 'i64', shape: [], values: [value] })
      let visible = sameSample()
      if (!bidirectional) visible = g.and(visible, g.lessEqual(keyPosition, position))
      if (window !== undefined) {
        visible = g.and(visible, g.less(g.sub(position, keyPosition), limit(window)))
        if (bidirectional) visible = g.and(visible, g.less(g.sub(keyPosition, position), limit(window)))
      }
      return g.select(visible, 0, MASKED)
    })
  }

  /** The keys that lead `x`, by its first extents. */
  function keysOf(x: Node): Node | undefined {
    const { dropoutKeys, rowKeys, stepKey } = inputs
    return dropoutKeys && [dropoutKeys, rowKeys, stepKey].find((keys) => keys && leads(keys, x))
  }

  function dropout(name: string, x: Node, rate: number): Node {
    if (!inputs.dropoutKeys || rate === 0 || inputs.drops?.(x) === false) return x
    const keys = keysOf(x)
    invariant(keys, `dropout of ${join(g.scope, name)} has no keys for [${x.type.shape}]`)
    return g.mul(x, dropoutFactors(g, keys, join(g.scope, name), rate, x))
  }

  function attention(io: AttentionInputs): Node {
    const { q, k, v, scale, window, softcap, added, bidirectional = false, dropout: rate = 0 } = io
    const { key, value } = inputs.cache?.(attentionLayers++, k, v) ?? { key: k, value: v }
    const [b = 1, h = 1, s = 1, d = 1] = q.type.shape
    const factor = scale ?? Number(d) ** -0.5
    const bias = maskBias(window, bidirectional)
    // Without a cache keys are the queries' own tokens, in their order.
    const causal = !bidirectional && inputs.cache === undefined && inputs.keyPositions === inputs.positions
    const drops = rate > 0 && (inputs.drops === undefined || [q, k, v].some(inputs.drops))
    const keys = drops ? inputs.dropoutKeys : undefined
    const out =
      keys || softcap !== undefined || added
        ? attentionByParts({ g, q, k: key, v: value, bias, scale: factor, softcap, added, keys, rate })
        : g.attention(q, key, value, bias, { scale: factor, causal })
    return g.reshape(g.transpose(out, { perm: [0, 2, 1, 3] }), { shape: [b, s, mulDims(h, d)] })
  }

  return {
    g,
    inputs,
    scope: (path, body) => g.scoped(path, body),
    embedding(name, ids, count, width, role) {
      const path = join(g.scope, name)
      const site: SiteModule = {
        path,
        kind: 'embedding',
        inFeatures: count,
        outFeatures: width,
        parameters: [{ name: 'weight', shape: [count, width] }],
        ...(role === 'input' ? { isInputEmbedding: true } : {}),
      }
      return g.scoped(name, () =>
        adapted(
          layer(site, false, (x, weight) => g.gather(weight, x)),
          ids,
        ),
      )
    },
    linear: (name, x, outFeatures, options = {}) =>
      g.scoped(name, () => adapted(linearLayer(g.scope, x, outFeatures, options), x)),
    rmsNorm: (name, x, eps, { plusOne = false } = {}) =>
      g.scoped(name, () => {
        const { weight } = norm('', x, false, plusOne ? 0 : 1)
        const factor = plusOne ? g.add(weight, 1) : weight
        return isByRow(factor) ? g.mul(g.rmsNorm(x, flat(x, 1), { eps }), factor) : g.rmsNorm(x, factor, { eps })
      }),
    layerNorm: (name, x, eps, { affine = true, bias: withBias = true } = {}) =>
      g.scoped(name, () => {
        if (!affine) return g.layerNorm(x, flat(x, 1), flat(x, 0), { eps })
        const { weight, bias } = norm('', x, withBias)
        if (!isByRow(weight) && !(bias && isByRow(bias))) return g.layerNorm(x, weight, bias ?? flat(x, 0), { eps })
        const scaled = g.mul(g.layerNorm(x, flat(x, 1), flat(x, 0), { eps }), weight)
        return bias ? g.add(scaled, bias) : scaled
      }),
    splitHeads(x, heads) {
      const [b = 1, s = 1, width = 1] = x.type.shape
      return g.transpose(g.reshape(x, { shape: [b, s, heads, Number(width) / heads] }), { perm: [0, 2, 1, 3] })
    },
    rotary(x, rope) {
      const { cos, sin } = g.during('forward', '', () => angles(g, inputs, rope))
      return turn(g, x, cos, sin)
    },
    attention,
    dropout,
    sublayer(name, place, meeting) {
      const path = join(g.scope, name)
      const layer = Number(/\.(\d+)(?:\.|$)/.exec(path)?.[1] ?? 0)
      const sublayer: Sublayer = { path, place, layer, width: Number(meeting.out.type.shape.at(-1)) }
      wiring.onSublayer?.(sublayer)
      return g.scoped(name, () => wiring.adaptSublayer?.(sublayer, meeting) ?? meeting.out)
    },
    sampleMean(x) {
      const [b = 1, s = 1] = x.type.shape
      const same = g.cast(g.reshape(sameSample(), { shape: [b, s, s] }), { to: 'f32' })
      return g.div(g.matmul(same, x), g.sum(same, { axes: [2], keepDims: true }))
    },
    logits: (head, rows) => g.scoped(head.path, () => capped(head, adapted(headLayer(head, rows), rows))),
    headLoss(head, rows, labels) {
      return g.scoped(head.path, () => {
        const plain = headLayer(head, rows)
        const logits = wiring.adapt?.(plain, rows)
        if (logits) return g.crossEntropy(capped(head, logits), labels)
        return plain.bias
          ? g.crossEntropy(capped(head, plain.apply(rows)), labels)
          : g.linearCrossEntropy(rows, plain.weight, labels, { softcap: head.softcap ?? 0 })
      })
    },
  }
}

/** Whether a norm's weight is one a row, `f32[batch, 1, width]`. */
const isByRow = (weight: Node): boolean => weight.type.shape.length > 1

/** Whether `x` begins with the extents of `keys`. */
export function leads(keys: Node, x: Node): boolean {
  return sameShape(keys.type.shape, x.type.shape.slice(0, keys.type.shape.length))
}

/** Factors 0 or 1/(1−rate) for `x: f32[…keys, width]`, from the site's name and the keys alone. */
export function dropoutFactors(g: Builder, keys: Node, site: string, rate: number, x: Node): Node {
  const trailing = x.type.shape.slice(keys.type.shape.length)
  return g.dropoutMask(keys, { site: hashName(site), rate, trailing })
}

function headInfo(head: Head | undefined): Pick<ModuleInfo, 'isOutputHead' | 'tiedTo'> {
  if (!head) return {}
  return { isOutputHead: true, ...(head.tiedTo === undefined ? {} : { tiedTo: head.tiedTo }) }
}

function join(scope: string, name: string): string {
  return scope === '' ? name : name === '' ? scope : `${scope}.${name}`
}
