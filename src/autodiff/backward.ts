/**
 * @file Reverse mode over a graph under construction: cotangents flow from outputs to the wanted nodes and nowhere else,
 * so no gradient of a frozen weight is built and nothing below the lowest wanted node is differentiated.
 * Must not know engines or models.
 */
import type { Builder } from '../graph/builder.ts'
import { dependents, topological } from '../graph/graph.ts'
import type { Node, NodeOf } from '../graph/types.ts'
import type { CompositeName, CoreName, OpName } from '../graph/vocabulary.ts'
import type { CompositeDefinition, CoreDefinition, Vjp } from '../ops/definition.ts'
import { compositeOps, coreOps, isComposite, namedInputs } from '../ops/index.ts'

/**
 * Gradients of a scalar (or of the sum of `loss`) with respect to each of `wanted`, in their order and shape.
 * A node that the loss does not depend on gets zeros.
 */
export function gradients(g: Builder, loss: Node, wanted: readonly Node[]): Node[] {
  const one = g.expand(g.scalar(1), { shape: loss.type.shape })
  const found = pullback(g, loss, one, wanted)
  return wanted.map((node) => found.get(node) ?? g.expand(g.scalar(0), { shape: node.type.shape }))
}

/**
 * Cotangents of `wanted` when the output has cotangent `dy`; absent where the output does not depend on them. A wanted
 * node that depends on another passes its cotangent on.
 * @param leaves nothing below these is looked at, so no cotangent goes past them
 */
export function pullback(
  g: Builder,
  output: Node,
  dy: Node,
  wanted: readonly Node[],
  leaves: ReadonlySet<Node> = new Set(),
): Map<Node, Node> {
  const order = topological([output], leaves)
  const kept = new Set(wanted)
  const active = dependents(order, kept)
  const cotangents = new Map<Node, Node>()
  if (!active.has(output)) return cotangents
  cotangents.set(output, dy)
  for (const node of order.reverse()) {
    const cotangent = cotangents.get(node)
    if (!cotangent || !active.has(node) || leaves.has(node)) continue
    g.during('backward', node.scope, () => {
      for (const [input, contribution] of inputCotangents(g, node, cotangent, active)) {
        const sum = cotangents.get(input)
        cotangents.set(input, sum ? g.add(sum, contribution) : contribution)
      }
    })
    if (!kept.has(node)) cotangents.delete(node)
  }
  return cotangents
}

/** Contributions of one node to its active inputs (an input used twice appears twice). */
function inputCotangents(g: Builder, node: Node, dy: Node, active: ReadonlySet<Node>): [Node, Node][] {
  if (isComposite(node.op)) return compositeCotangents(g, node as NodeOf<CompositeName>, dy, active)
  const definition = coreOps[node.op as CoreName] as CoreDefinition<CoreName>
  const out: [Node, Node][] = []
  node.inputs.forEach((input, index) => {
    if (!active.has(input)) return
    const contribution = definition.vjpMany
      ? definition.vjpMany(g, node.inputs, index, dy, node.params as never)
      : applyVjp(g, node, inputName(definition.inputs, index), definition.vjp, dy)
    if (contribution) out.push([input, contribution])
  })
  return out
}

/** A composite's own rules first; what they leave out comes from differentiating its expansion. */
function compositeCotangents(
  g: Builder,
  node: NodeOf<CompositeName>,
  dy: Node,
  active: ReadonlySet<Node>,
): [Node, Node][] {
  const definition = compositeOps[node.op] as CompositeDefinition<CompositeName>
  const rules = (definition.vjp ?? {}) as Record<string, unknown>
  const out: [Node, Node][] = []
  const left: Node[] = []
  node.inputs.forEach((input, index) => {
    if (!active.has(input)) return
    const name = inputName(definition.inputs, index)
    if (!(name in rules)) left.push(input)
    else {
      const contribution = applyVjp(g, node as Node, name, rules, dy)
      if (contribution) out.push([input, contribution])
    }
  })
  if (left.length > 0) {
    const expansion = definition.expand(g, namedInputs(definition.inputs, node.inputs), node.params as never)
    // Its inputs end the expansion: one of `left` may lie below another, as a tied head's weight lies below its rows.
    out.push(...pullback(g, expansion, dy, left, new Set(node.inputs)))
  }
  return out
}

function applyVjp(g: Builder, node: Node, name: string, rules: object, dy: Node): Node | undefined {
  const rule = (rules as Record<string, Vjp<OpName> | null | undefined>)[name]
  if (!rule) return undefined
  const inputs = isComposite(node.op) ? compositeOps[node.op].inputs : coreOps[node.op as CoreName].inputs
  return rule(g, namedInputs(inputs, node.inputs), dy, node.params as never, node as never)
}

function inputName(names: readonly string[] | 'many', index: number): string {
  return names === 'many' ? 'many' : (names[index] ?? '')
}
