import { describe, expect, it } from 'vitest'
import { prepare } from '../engine/prepare.ts'
import { referenceEngine } from '../engines/reference/index.ts'
import { graphOf } from '../graph/graph.ts'
import { newBuilder } from '../ops/index.ts'
import { f32, type HostTensor, zeros } from '../tensor/host-tensor.ts'
import { type OptimizerName, optimizers } from './optimizers.ts'

const START = [1, -2, 0.5]
const GRADIENTS = [
  [0.1, -0.2, 0],
  [-0.3, 0.1, 2],
  [0.05, 0.05, -1],
]
const [RATE, DECAY] = [0.1, 0.2]

/** Parameters after each of three steps, computed by the graph. */
async function steps(name: OptimizerName): Promise<number[][]> {
  const optimizer = optimizers[name]
  const g = newBuilder()
  const scalar = (input: string): ReturnType<typeof g.feed> => g.feed(input, { dtype: 'f32', shape: [] })
  const moments = Object.fromEntries(optimizer.moments.map((m) => [m, g.state(m, [3])]))
  const next = optimizer.update({
    g,
    parameters: g.state('p', [3]),
    gradient: g.feed('gradient', { dtype: 'f32', shape: [3] }),
    moments,
    rate: scalar('rate'),
    weightDecay: DECAY,
    scalars: Object.fromEntries(Object.keys(optimizer.scalars(1)).map((s) => [s, scalar(s)])),
  })
  const outputs = Object.entries({ p: next.parameters, ...next.moments })
  const engine = referenceEngine()
  const graph = graphOf(outputs.map(([output, node]) => [`next.${output}`, node] as const))
  const run = await engine.compile(prepare(graph, engine.composites), {
    weights: new Map(),
    state: Object.fromEntries(outputs.map(([output]) => [output, `next.${output}`])),
  })
  await run.writeState({
    p: f32([3], START),
    ...Object.fromEntries(optimizer.moments.map((m) => [m, zeros('f32', [3])])),
  })
  const seen: number[][] = []
  for (const [i, gradient] of GRADIENTS.entries()) {
    const scalars = Object.entries(optimizer.scalars(i + 1)).map(([s, v]): [string, HostTensor] => [s, f32([], [v])])
    await run.run({ gradient: f32([3], gradient), rate: f32([], [RATE]), ...Object.fromEntries(scalars) })
    seen.push(Array.from((await run.readState(['p'])).p?.data ?? [], Number))
  }
  return seen
}

/** The formulas of torch's documentation, of transformers' AdamW without its correction, and of PEFT's LoraFAOptimizer, number by number. */
const formulas: { readonly [K in OptimizerName]: () => number[][] } = {
  adamw() {
    const [p, m, v] = [[...START], [0, 0, 0], [0, 0, 0]]
    return GRADIENTS.map((gradient, t) =>
      gradient.map((g, i) => {
        m[i] = 0.9 * (m[i] ?? 0) + 0.1 * g
        v[i] = 0.999 * (v[i] ?? 0) + 0.001 * g * g
        const [mHat, vHat] = [(m[i] ?? 0) / (1 - 0.9 ** (t + 1)), (v[i] ?? 0) / (1 - 0.999 ** (t + 1))]
        p[i] = (p[i] ?? 0) * (1 - RATE * DECAY) - (RATE * mHat) / (Math.sqrt(vHat) + 1e-8)
        return p[i] ?? 0
      }),
    )
  },
  bertadam() {
    const [p, m, v] = [[...START], [0, 0, 0], [0, 0, 0]]
    return GRADIENTS.map((gradient) =>
      gradient.map((g, i) => {
        m[i] = 0.9 * (m[i] ?? 0) + 0.1 * g
        v[i] = 0.999 * (v[i] ?? 0) + 0.001 * g * g
        const moved = (p[i] ?? 0) - (RATE * (m[i] ?? 0)) / (Math.sqrt(v[i] ?? 0) + 1e-8)
        p[i] = moved - RATE * DECAY * moved
        return p[i] ?? 0
      }),
    )
  },
  lorafa() {
    const [p, m, v] = [[...START], [0, 0, 0], [0, 0, 0]]
    return GRADIENTS.map((gradient, t) =>
      gradient.map((g, i) => {
        m[i] = 0.9 * (m[i] ?? 0) + 0.1 * g
        v[i] = 0.999 * (v[i] ?? 0) + 0.001 * g * g
        const size = (RATE * Math.sqrt(1 - 0.999 ** (t + 1))) / (1 - 0.9 ** (t + 1))
        const moved = (p[i] ?? 0) - (size * (m[i] ?? 0)) / (Math.sqrt(v[i] ?? 0) + 1e-6)
        p[i] = moved - RATE * DECAY * moved
        return p[i] ?? 0
      }),
    )
  },
  sgd() {
    const p = [...START]
    return GRADIENTS.map((gradient) =>
      gradient.map((g, i) => {
        p[i] = (p[i] ?? 0) - RATE * (g + DECAY * (p[i] ?? 0))
        return p[i] ?? 0
      }),
    )
  },
}

describe.each(Object.keys(formulas) as OptimizerName[])('%s', (name) => {
  it('follows its formula, step by step', async () => {
    const [found, known] = [await steps(name), formulas[name]()]
    found.forEach((values, step) => {
      values.forEach((value, i) => {
        expect(Math.abs(value - (known[step]?.[i] ?? Number.NaN))).toBeLessThan(1e-6)
      })
    })
    expect(found.length).toBe(3)
  })
})
