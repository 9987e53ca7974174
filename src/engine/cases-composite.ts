/** @file Conformance cases of composite ops and of their gradients as ops. */
import type { EngineCase } from './case.ts'

const rows = [
  { b: 2, s: 3 },
  { b: 1, s: 5 },
]
const SHAPE = ['b', 's', 4] as const

const activations: readonly EngineCase[] = [
  { name: 'silu', runs: rows, build: ({ g, f32 }) => ({ y: g.silu(f32('x', SHAPE)) }) },
  { name: 'siluGrad', runs: rows, build: ({ g, f32 }) => ({ y: g.siluGrad(f32('x', SHAPE), f32('dy', SHAPE)) }) },
  { name: 'relu', runs: rows, build: ({ g, f32 }) => ({ y: g.relu(f32('x', SHAPE)) }) },
  ...(['erf', 'tanh', 'quick'] as const).flatMap(
    (kind) =>
      [
        { name: `gelu ${kind}`, runs: rows, build: ({ g, f32 }) => ({ y: g.gelu(f32('x', SHAPE), { kind }) }) },
        {
          name: `geluGrad ${kind}`,
          runs: rows,
          build: ({ g, f32 }) => ({ y: g.geluGrad(f32('x', SHAPE), f32('dy', SHAPE), { kind }) }),
        },
      ] satisfies EngineCase[],
  ),
]

const norms: readonly EngineCase[] = [
  {
    name: 'rmsNorm',
    runs: rows,
    build: ({ g, f32, weight }) => ({ y: g.rmsNorm(f32('x', SHAPE), weight('w', [4]), { eps: 1e-5 }) }),
  },
  {
    name: 'rmsNormGrad',
    runs: rows,
    build: ({ g, f32, weight }) => ({
      y: g.rmsNormGrad(f32('x', SHAPE), weight('w', [4]), f32('dy', SHAPE), { eps: 1e-5 }),
    }),
  },
  {
    name: 'rmsNorm of a tiny row keeps to eps',
    build: ({ g, f32, weight }) => ({
      y: g.rmsNorm(
        f32('x', [2, 4], (random) => 1e-3 * random.normal()),
        weight('w', [4]),
        { eps: 1e-5 },
      ),
    }),
  },
  {
    name: 'layerNorm',
    runs: rows,
    build: ({ g, f32, weight }) => ({
      y: g.layerNorm(f32('x', SHAPE), weight('w', [4]), weight('bias', [4]), { eps: 1e-5 }),
    }),
  },
  {
    name: 'standardise, and beside a LayerNorm of the same',
    runs: rows,
    build: ({ g, f32, weight }) => {
      const [x, large] = [f32('x', SHAPE), f32('large', SHAPE, (random) => 100 + random.normal())]
      return {
        y: g.standardise(x, { eps: 1e-5 }),
        other: g.standardise(large, { eps: 1e-5 }),
        norm: g.layerNorm(large, weight('w', [4]), weight('bias', [4]), { eps: 1e-5 }),
        back: g.layerNormGrad(large, weight('w', [4]), f32('dy', SHAPE), { eps: 1e-5 }),
      }
    },
  },
  {
    name: 'layerNormGrad',
    runs: rows,
    build: ({ g, f32, weight }) => ({
      y: g.layerNormGrad(f32('x', SHAPE), weight('w', [4]), f32('dy', SHAPE), { eps: 1e-5 }),
    }),
  },
  {
    name: 'rotary',
    runs: rows,
    frozen: ['cos', 'sin'],
    build: ({ g, f32 }) => ({
      y: g.rotary(f32('x', ['b', 2, 's', 6]), f32('cos', ['b', 's', 3]), f32('sin', ['b', 's', 3])),
    }),
  },
]

const attentionOf = (name: string, heads: number, kvHeads: number, shift: number): EngineCase => ({
  name,
  runs: [
    { b: 2, s: 3, t: 3 },
    { b: 1, s: 1, t: 4 },
  ],
  frozen: ['bias'],
  build: ({ g, f32 }) => {
    const q = f32('q', ['b', heads, 's', 4])
    const k = f32('k', ['b', kvHeads, 't', 4])
    const v = f32('v', ['b', kvHeads, 't', 4])
    // A row whose keys are all hidden (padding) gives their plain mean on every engine: scores vanish beside 1e30.
    const bias = f32('bias', ['b', 1, 's', 't'], (random) => (random.uniform() < 0.3 ? -1e30 : shift * random.normal()))
    return { y: g.attention(q, k, v, bias, { scale: 0.5 }) }
  },
})

/** Attention that skips keys after the query, with its three gradients; a case of many rows is not differentiated. */
const causalOf = (name: string, rows: number, heads: number, kvHeads: number): EngineCase => ({
  name,
  runs: [{ b: 2 }, { b: 1 }],
  frozen: rows > 8 ? ['q', 'k', 'v', 'dy'] : [],
  build: ({ g, f32, i64 }) => {
    const shape = (h: number) => ['b', h, rows, 4] as const
    const [q, k, v, dy] = [
      f32('q', shape(heads)),
      f32('k', shape(kvHeads)),
      f32('v', shape(kvHeads)),
      f32('dy', shape(heads)),
    ]
    const place = i64('place', [...Array(rows).keys()])
    const along = (axes: readonly number[]) => g.reshape(place, { shape: axes })
    const seen = g.lessEqual(along([1, 1, 1, rows]), along([1, 1, rows, 1]))
    const bias = g.expand(g.select(seen, 0, -1e30), { shape: ['b', 1, rows, rows] })
    const params = { scale: 0.5, causal: true }
    const y = g.attention(q, k, v, bias, params)
    return {
      y,
      dq: g.attentionGradQuery(q, k, v, bias, y, dy, params),
      dk: g.attentionGradKey(q, k, v, bias, y, dy, params),
      dv: g.attentionGradValue(q, k, v, bias, y, dy, params),
    }
  },
})

const softmaxes: readonly EngineCase[] = [
  { name: 'softmax', runs: rows, build: ({ g, f32 }) => ({ y: g.softmax(f32('x', SHAPE)) }) },
  {
    name: 'softmax of large numbers',
    build: ({ g, f32 }) => ({ y: g.softmax(f32('x', [3, 5], (random) => 300 * random.normal())) }),
  },
  {
    name: 'softmaxGrad',
    runs: rows,
    build: ({ g, f32 }) => ({ y: g.softmaxGrad(g.softmax(f32('x', SHAPE)), f32('dy', SHAPE)) }),
  },
  {
    name: 'maskedSoftmax and its derivative',
    runs: rows,
    build({ g, f32 }) {
      const [x, mask] = [f32('x', SHAPE), f32('mask', SHAPE)]
      const y = g.maskedSoftmax(x, mask)
      return { y, dx: g.maskedSoftmaxGrad(g.softmax(x), y, f32('dy', SHAPE)) }
    },
  },
  attentionOf('attention, a key head for each query head', 2, 2, 0),
  attentionOf('attention, grouped heads', 4, 2, 1),
  attentionOf('attention, one key head', 3, 1, 0),
  causalOf('causal attention of one row', 1, 2, 1),
  causalOf('causal attention of few rows', 3, 2, 2),
  causalOf('causal attention of grouped heads', 5, 4, 2),
  causalOf('causal attention of many rows', 150, 2, 1),
]

const adapters: readonly EngineCase[] = [
  {
    name: 'lowRank with a fed scale',
    runs: rows,
    build: ({ g, f32, state }) => ({
      y: g.lowRank(f32('x', SHAPE), state('A', [2, 4]), state('B', [5, 2]), f32('scale', [])),
    }),
  },
  {
    name: 'lowRank with a scale for each row of the batch',
    runs: rows,
    build: ({ g, f32, state }) => ({
      y: g.lowRank(f32('x', SHAPE), state('A', [2, 4]), state('B', [5, 2]), f32('scale', ['b', 1, 1])),
    }),
  },
]

const large = 80
const losses: readonly EngineCase[] = [1, large].flatMap((size) => {
  const suffix = size === 1 ? '' : ' of large logits'
  const runs = [{ n: 3 }, { n: 5 }]
  return [
    {
      name: `crossEntropy${suffix}`,
      runs,
      build: ({ g, f32, ids }) => ({
        y: g.crossEntropy(
          f32('logits', ['n', 6], (random) => size * random.normal()),
          ids('labels', ['n'], 6),
        ),
      }),
    },
    {
      name: `crossEntropyGrad${suffix}`,
      runs,
      build: ({ g, f32, ids }) => ({
        y: g.crossEntropyGrad(
          f32('logits', ['n', 6], (random) => size * random.normal()),
          ids('labels', ['n'], 6),
          f32('dy', ['n']),
        ),
      }),
    },
    ...[0, 3].flatMap((softcap) => {
      const capped = softcap === 0 ? suffix : ` capped${suffix}`
      return [
        {
          name: `linearCrossEntropy${capped}`,
          runs,
          build: ({ g, f32, ids, weight }) => ({
            y: g.linearCrossEntropy(
              f32('hidden', ['n', 4], (random) => size * random.normal()),
              weight('head', [6, 4]),
              ids('labels', ['n'], 6),
              { softcap },
            ),
          }),
        },
        {
          name: `linearCrossEntropyGrad${capped}`,
          runs,
          build: ({ g, f32, ids, weight }) => ({
            y: g.linearCrossEntropyGrad(
              f32('hidden', ['n', 4], (random) => size * random.normal()),
              weight('head', [6, 4]),
              ids('labels', ['n'], 6),
              f32('dy', ['n']),
              { softcap },
            ),
          }),
        },
      ] satisfies EngineCase[]
    }),
  ] satisfies EngineCase[]
})

export const compositeCases: readonly EngineCase[] = [...activations, ...norms, ...softmaxes, ...adapters, ...losses]
