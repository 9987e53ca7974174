/**
 * Derivatives of every op against central differences in f64, over the engine conformance cases: an op that no case
 * differentiates fails here.
 */
import { describe, expect, it } from 'vitest'
import { EXACT, GRADIENT_CHECK } from '../../test/tolerances.ts'
import { gradients } from '../autodiff/backward.ts'
import { type DrawnCase, drawCase, type EngineCase } from '../engine/case.ts'
import { engineCases } from '../engine/cases.ts'
import { prepare } from '../engine/prepare.ts'
import { type ExactTensor, type ReferenceExecutable, referenceEngine } from '../engines/reference/index.ts'
import type { Builder } from '../graph/builder.ts'
import { dependents, graphOf } from '../graph/graph.ts'
import type { Graph, Node } from '../graph/types.ts'
import type { OpName } from '../graph/vocabulary.ts'
import { expandComposites } from '../passes/expand.ts'
import { rewriteInto } from '../passes/rewrite.ts'
import { RandomStream } from '../support/random.ts'
import { evaluateDim } from '../tensor/dim.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { compositeOps, coreOps, isComposite, newBuilder, verify } from './index.ts'

const engine = referenceEngine()
const STEP = 1e-5

/** Ops without a derivative for any input: nothing to compare, and `detach` means to have none. */
const flat = Object.entries(coreOps).filter(
  ([, definition]) => !('vjpMany' in definition) && Object.values(definition.vjp).every((v) => v === null),
)
const flatNames = new Set(flat.map(([op]) => op as OpName))

interface Subject {
  readonly drawn: DrawnCase
  /** Float inputs to differentiate by. */
  readonly wanted: readonly string[]
}

function subjectOf(test: EngineCase): Subject | undefined {
  const drawn = drawCase(test)
  const floats = [...drawn.graph.outputs.values()].filter((node) => node.type.dtype === 'f32')
  const frozen = new Set(test.frozen ?? [])
  const wanted = [...drawn.graph.inputs].filter(([name, n]) => n.type.dtype === 'f32' && !frozen.has(name))
  return floats.length > 0 && wanted.length > 0 ? { drawn, wanted: wanted.map(([name]) => name) } : undefined
}

/** Loss `Σ output · cotangent`, whose derivatives see every element of every output with its own weight. */
function withGradients(g: Builder, outputs: ReadonlyMap<string, Node>, wanted: readonly Node[]): Graph {
  let loss: Node = g.scalar(0)
  for (const [name, node] of outputs) {
    if (node.type.dtype !== 'f32') continue
    const product = g.mul(node, g.feed(`cotangent of ${name}`, node.type))
    loss = g.add(loss, g.sum(product, { axes: node.type.shape.map((_, axis) => axis) }))
  }
  const found = gradients(g, loss, wanted)
  return verify(graphOf([['loss', loss], ...wanted.map((node, i) => [nameOf(node), found[i] ?? node] as const)]))
}

const nameOf = (node: Node | undefined): string => (node?.op === 'input' ? node.params.name : '')

/** The case's graph in a new builder, with loss and derivatives. */
function differentiated(graph: Graph, wanted: readonly string[]): Graph {
  const g = newBuilder()
  const mapped = rewriteInto(g, graph)
  const image = (node: Node | undefined): Node => (node && mapped.get(node)) ?? g.scalar(0)
  const outputs = new Map([...graph.outputs].map(([name, node]) => [name, image(node)]))
  return withGradients(
    g,
    outputs,
    wanted.map((name) => image(graph.inputs.get(name))),
  )
}

/** Every input of a graph as f64 values: the case's own for its first run, and drawn cotangents. */
function valuesOf({ drawn }: Subject, graph: Graph): Record<string, ExactTensor | HostTensor> {
  const own: Record<string, HostTensor> = { ...Object.fromEntries(drawn.weights), ...drawn.state, ...drawn.runs[0] }
  const out: Record<string, ExactTensor | HostTensor> = {}
  for (const [name, { type }] of graph.inputs) {
    const given = own[name]
    const shape = type.shape.map((d) => evaluateDim(d, drawn.dims[0] ?? new Map()))
    const random = new RandomStream(3, name)
    const size = shape.reduce((a, b) => a * b, 1)
    if (!given) out[name] = { dtype: 'f32', shape, data: Float64Array.from({ length: size }, () => random.normal()) }
    else out[name] = given.dtype === 'f32' ? { ...given, data: Float64Array.from(given.data) } : given
  }
  return out
}

/** Weights and state as feeds, so that they can be moved by less than f32 can tell. */
function allFed(graph: Graph): Graph {
  const g = newBuilder()
  const mapped = rewriteInto(g, graph, (_, node) =>
    node.op === 'input' ? g.feed(node.params.name, node.params.type) : undefined,
  )
  return graphOf([...graph.outputs].map(([name, node]) => [name, mapped.get(node) ?? node]))
}

async function compiled(graph: Graph): Promise<ReferenceExecutable> {
  return engine.compile(prepare(graph, engine.composites), { weights: new Map() })
}

async function analytic(subject: Subject, graph: Graph): Promise<Record<string, Float64Array>> {
  const fed = allFed(differentiated(graph, subject.wanted))
  const out = await (await compiled(fed)).runExact(valuesOf(subject, fed))
  return Object.fromEntries(subject.wanted.map((name) => [name, out[name]?.data ?? new Float64Array()]))
}

async function numeric(subject: Subject): Promise<Record<string, Float64Array>> {
  const whole = allFed(differentiated(subject.drawn.graph, subject.wanted))
  const graph = graphOf([...whole.outputs].filter(([name]) => name === 'loss'))
  const run = await compiled(graph)
  const values = valuesOf(subject, graph)
  const lossAt = async (name: string, data: Float64Array): Promise<number> => {
    const moved = { ...values, [name]: { ...values[name], data } as ExactTensor }
    return (await run.runExact(moved)).loss?.data[0] ?? Number.NaN
  }
  const out: Record<string, Float64Array> = {}
  for (const name of subject.wanted) {
    const at = Float64Array.from(values[name]?.data ?? [], Number)
    const slope = new Float64Array(at.length)
    for (let i = 0; i < at.length; i++) {
      const [up, down] = [at.slice(), at.slice()]
      up[i] = (at[i] ?? 0) + STEP
      down[i] = (at[i] ?? 0) - STEP
      slope[i] = ((await lossAt(name, up)) - (await lossAt(name, down))) / (2 * STEP)
    }
    out[name] = slope
  }
  return out
}

/** Largest difference of any element, in units of the tensor's own size (or 1, where it is smaller). */
function apart(x: Readonly<Record<string, Float64Array>>, y: Readonly<Record<string, Float64Array>>): number {
  let worst = 0
  for (const [name, want] of Object.entries(y)) {
    const got = x[name] ?? new Float64Array()
    expect(got.length, name).toBe(want.length)
    const scale = want.reduce((most, v) => Math.max(most, Math.abs(v)), 1)
    want.forEach((v, i) => {
      worst = Math.max(worst, Math.abs(v - (got[i] ?? Number.NaN)) / scale)
    })
  }
  return worst
}

const subjects = engineCases.flatMap((test) => {
  const subject = subjectOf(test)
  return subject ? [{ test, subject }] : []
})

describe('derivatives', () => {
  for (const { test, subject } of subjects) {
    it(`${test.name}: as central differences say`, async () => {
      const wanted = await numeric(subject)
      expect(apart(await analytic(subject, subject.drawn.graph), wanted)).toBeLessThan(GRADIENT_CHECK)
    })
    if (!subject.drawn.graph.nodes.some((n) => isComposite(n.op))) continue
    it(`${test.name}: its own rule agrees with its expansion's`, async () => {
      const own = await analytic(subject, subject.drawn.graph)
      const expanded = await analytic(subject, expandComposites(subject.drawn.graph, new Set()))
      expect(apart(own, expanded)).toBeLessThan(EXACT)
    })
  }

  it('are checked for every op that has any', () => {
    const checked = new Set<OpName>()
    for (const { subject } of subjects) {
      const { nodes, inputs } = subject.drawn.graph
      const sources = new Set(subject.wanted.flatMap((name) => inputs.get(name) ?? []))
      for (const node of dependents(nodes, sources)) checked.add(node.op)
    }
    const leaves = new Set<OpName>(['input', 'constant'])
    const all = [...Object.keys(coreOps), ...Object.keys(compositeOps)] as OpName[]
    expect(all.filter((op) => !checked.has(op) && !flatNames.has(op) && !leaves.has(op))).toEqual([])
  })

  it('are refused by name by just these ops', () => {
    expect([...flatNames].sort()).toEqual(
      ['input', 'constant', 'equal', 'less', 'lessEqual', 'and', 'not', 'oneHot', 'dropoutMask', 'detach'].sort(),
    )
  })

  it('are zero behind detach', async () => {
    const g = newBuilder()
    const x = g.state('x', [3])
    const [dx] = gradients(g, g.sum(g.mul(g.detach(x), g.detach(x)), { axes: [0] }), [x])
    expect(dx?.op).toBe('expand')
    expect(dx?.inputs[0]).toBe(g.scalar(0))
  })
})

describe('conformance cases', () => {
  it('use every op of the vocabulary', () => {
    const used = new Set(engineCases.flatMap((test) => drawCase(test).graph.nodes.map((n) => n.op)))
    expect([...Object.keys(coreOps), ...Object.keys(compositeOps)].filter((op) => !used.has(op as OpName))).toEqual([])
  })

  it('have names of their own', () => {
    expect(new Set(engineCases.map((c) => c.name)).size).toBe(engineCases.length)
  })
})
