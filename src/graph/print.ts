/** @file The printed form of a graph: short, stable, what tests snapshot and `--print-graph` shows. */
import type { Graph, Node, TensorType } from './types.ts'

function type(t: TensorType): string {
  return `${t.dtype}[${t.shape.join(', ')}]`
}

/** One line an op: `%3 = matmul(%2, weight, transB=true) : f32[seq, 64]`, with a `# scope` line where the place changes. */
export function printGraph(graph: Graph): string {
  const names = new Map<Node, string>()
  const lines: string[] = []
  let place = ''
  let counter = 0
  for (const node of graph.nodes) {
    if (node.op === 'input') {
      names.set(node, node.params.name)
      continue
    }
    if (node.op === 'constant' && node.params.values.length === 1 && node.params.shape.length === 0) {
      names.set(node, String(node.params.values[0]))
      continue
    }
    const here = `${node.phase === 'forward' ? '' : `${node.phase} `}${node.scope}`.trim()
    if (here !== place) {
      place = here
      lines.push(`  # ${place || 'top'}`)
    }
    const name = `%${counter++}`
    names.set(node, name)
    const args = [...node.inputs.map((n) => names.get(n) ?? '?'), ...printParams(node.params)]
    lines.push(`  ${name} = ${node.op}(${args.join(', ')}) : ${type(node.type)}`)
  }
  const inputs = [...graph.inputs.values()].map((n) => `${n.params.kind} ${n.params.name}: ${type(n.type)}`)
  const outputs = [...graph.outputs].map(([name, node]) => `${name}=${names.get(node)}`)
  return `graph(${inputs.length ? `\n  ${inputs.join(',\n  ')}\n` : ''}) {\n${lines.join('\n')}\n  return ${outputs.join(', ')}\n}\n`
}

function printParams(params: object): string[] {
  return Object.entries(params)
    .filter(([, value]) => value !== false && value !== undefined)
    .map(
      ([key, value]) =>
        `${key}=${Array.isArray(value) ? `[${value.join(', ')}]` : typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
    )
}

/** 53-bit hash of the printed form (cyrb53, public domain), for telling graphs apart in logs and caches. */
export function hashGraph(graph: Graph): string {
  const text = printGraph(graph)
  let [h1, h2] = [0xdeadbeef, 0x41c6ce57]
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    h1 = Math.imul(h1 ^ code, 2654435761)
    h2 = Math.imul(h2 ^ code, 1597334677)
  }
  h1 = Math.imul(h1 ^ (h1 >>> 16), 2246822507) ^ Math.imul(h2 ^ (h2 >>> 13), 3266489909)
  h2 = Math.imul(h2 ^ (h2 >>> 16), 2246822507) ^ Math.imul(h1 ^ (h1 >>> 13), 3266489909)
  return (4294967296 * (2097151 & h2) + (h1 >>> 0)).toString(16).padStart(14, '0')
}
