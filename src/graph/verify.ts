/** @file Checks a graph's invariants. Every pass is followed by it in tests; types are inferred anew by the rules given. */
import { invariant } from '../support/errors.ts'
import { sameShape } from '../tensor/dim.ts'
import type { BuildRule, BuildRules } from './builder.ts'
import type { Graph, Node } from './types.ts'
import type { OpName } from './vocabulary.ts'

/** @throws Error 'internal: …' naming the first node that breaks a rule. */
export function verifyGraph(graph: Graph, rules: BuildRules): void {
  const seen = new Set<Node>()
  const inputNames = new Set<string>()
  for (const node of graph.nodes) {
    const where = `node ${node.id} (${node.op}${node.scope ? ` in ${node.scope}` : ''})`
    invariant(!seen.has(node), `${where} stands twice`)
    for (const input of node.inputs)
      invariant(seen.has(input), `${where} comes before its input ${input.id} (${input.op})`)
    seen.add(node)
    if (node.op === 'input') {
      invariant(!inputNames.has(node.params.name), `two inputs are named '${node.params.name}'`)
      inputNames.add(node.params.name)
      invariant(graph.inputs.get(node.params.name) === node, `input '${node.params.name}' is not listed`)
    }
    const rule = rules[node.op] as BuildRule<OpName> & { inputs: readonly string[] | 'many' }
    if (rule.inputs !== 'many')
      invariant(rule.inputs.length === node.inputs.length, `${where} has ${node.inputs.length} inputs`)
    const type = rule.type(
      node.inputs.map((n) => n.type),
      node.params,
    )
    invariant(
      type.dtype === node.type.dtype && sameShape(type.shape, node.type.shape),
      `${where} is typed ${node.type.dtype}[${node.type.shape}], its rule says ${type.dtype}[${type.shape}]`,
    )
  }
  for (const [name, node] of graph.outputs) invariant(seen.has(node), `output '${name}' is not in the graph`)
}
