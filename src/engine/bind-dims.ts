/**
 * @file Gives symbolic dimensions their values for one run, from the shapes that inputs really have.
 * Must not know any engine.
 */
import type { NodeOf } from '../graph/types.ts'
import { LowrankError } from '../support/errors.ts'
import { type Dim, evaluateDim, symbolsOf } from '../tensor/dim.ts'

/**
 * Values of every symbol in `inputs`' shapes. A symbol is bound where a dimension is just it, or is linear in it and
 * all else is known (`past+seq` once `seq` is); every other dimension is checked against the bound values.
 * @throws LowrankError 'engine' naming the input whose rank or extent contradicts its type or the other inputs.
 */
export function bindDims(
  inputs: ReadonlyMap<string, NodeOf<'input'>>,
  shapes: ReadonlyMap<string, readonly number[]>,
): Map<string, number> {
  const values = new Map<string, number>()
  const given = new Map<string, string>()
  let open: Extent[] = []
  for (const [name, node] of inputs) open.push(...extentsOf(name, node, shapes.get(name) ?? []))
  for (let progress = true; progress; ) {
    progress = false
    const later: Extent[] = []
    for (const extent of open) {
      const unknown = symbolsOf(extent.dim).filter((symbol) => !values.has(symbol))
      const [symbol] = unknown
      const solved = unknown.length === 1 && symbol !== undefined ? solve(extent, symbol, values) : undefined
      if (symbol !== undefined && solved !== undefined) {
        values.set(symbol, solved)
        given.set(symbol, extent.name)
        progress = true
      } else if (symbol === undefined) check(extent, values, given)
      else later.push(extent)
    }
    open = later
  }
  const [left] = open
  if (left) throw new LowrankError('engine', `dimension '${left.dim}' of input '${left.name}' cannot be resolved`)
  return values
}

interface Extent {
  name: string
  axis: number
  dim: Dim
  actual: number
  shape: readonly number[]
}

function extentsOf(name: string, node: NodeOf<'input'>, shape: readonly number[]): Extent[] {
  const dims = node.type.shape
  if (dims.length !== shape.length) {
    throw new LowrankError('engine', `input '${name}' has shape [${shape}], expected [${dims.join(', ')}]`, {
      field: name,
    })
  }
  return dims.map((dim, axis) => ({ name, axis, dim, actual: shape[axis] ?? 0, shape }))
}

/** The value of `symbol` that makes the dimension equal its actual extent, where it is linear and the value whole. */
function solve({ dim, actual }: Extent, symbol: string, values: ReadonlyMap<string, number>): number | undefined {
  const value = (x: number): number => evaluateDim(dim, new Map([...values, [symbol, x]]))
  const base = value(0)
  const slope = value(1) - base
  if (slope === 0 || value(2) - base !== 2 * slope) return undefined
  const found = (actual - base) / slope
  return Number.isInteger(found) && found >= 0 ? found : undefined
}

function check(extent: Extent, values: ReadonlyMap<string, number>, given: ReadonlyMap<string, string>): void {
  const expected = evaluateDim(extent.dim, values)
  if (expected === extent.actual) return
  const others = [...new Set(symbolsOf(extent.dim).map((s) => `${s} = ${values.get(s)} from '${given.get(s)}'`))]
  const why = others.length === 0 ? '' : ` (${others.join(', ')})`
  throw new LowrankError(
    'engine',
    `input '${extent.name}' has shape [${extent.shape}]: axis ${extent.axis} should be ${extent.dim === expected ? expected : `${extent.dim} = ${expected}`}${why}`,
    { field: extent.name },
  )
}
