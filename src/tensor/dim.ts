/**
 * @file Dimensions of shapes: a number, or a polynomial over named symbols (`batch`, `past+seq`, `4*batch*seq`) kept
 * as its one canonical text, so that two dimensions are equal exactly when they are `===`.
 */
import { invariant } from '../support/errors.ts'

/** An extent: a number, or a symbolic polynomial in canonical form. */
export type Dim = number | string

/** Monomial (sorted symbols joined by `*`, '' for the constant) → integer coefficient. */
type Polynomial = ReadonlyMap<string, number>

const parsed = new Map<string, Polynomial>()

function parse(dim: Dim): Polynomial {
  if (typeof dim === 'number') return new Map(dim === 0 ? [] : [['', dim]])
  const known = parsed.get(dim)
  if (known) return known
  const terms = new Map<string, number>()
  for (const term of dim.split('+')) {
    let coefficient = 1
    const symbols: string[] = []
    for (const factor of term.split('*')) {
      if (/^-?\d+$/.test(factor)) coefficient *= Number(factor)
      else {
        invariant(/^[A-Za-z_]\w*$/.test(factor), `'${dim}' is not a dimension`)
        symbols.push(factor)
      }
    }
    addTerm(terms, symbols.sort().join('*'), coefficient)
  }
  parsed.set(dim, terms)
  return terms
}

function addTerm(terms: Map<string, number>, monomial: string, coefficient: number): void {
  const sum = (terms.get(monomial) ?? 0) + coefficient
  if (sum === 0) terms.delete(monomial)
  else terms.set(monomial, sum)
}

function print(terms: Polynomial): Dim {
  const constant = terms.get('') ?? 0
  const names = [...terms.keys()].filter((m) => m !== '').sort()
  if (names.length === 0) return constant
  const parts = names.map((m) => (terms.get(m) === 1 ? m : `${terms.get(m)}*${m}`))
  if (constant !== 0) parts.push(String(constant))
  return parts.join('+')
}

/** Canonical form of a dimension written by hand, e.g. `'seq*batch'` → `'batch*seq'`. */
export function dim(text: Dim): Dim {
  return print(parse(text))
}

export function addDims(...dims: Dim[]): Dim {
  const sum = new Map<string, number>()
  for (const d of dims) for (const [monomial, c] of parse(d)) addTerm(sum, monomial, c)
  return print(sum)
}

export function mulDims(...dims: Dim[]): Dim {
  let product: Polynomial = new Map([['', 1]])
  for (const d of dims) {
    const next = new Map<string, number>()
    for (const [m1, c1] of product) {
      for (const [m2, c2] of parse(d)) {
        const symbols = [...m1.split('*'), ...m2.split('*')].filter((s) => s !== '')
        addTerm(next, symbols.sort().join('*'), c1 * c2)
      }
    }
    product = next
  }
  return print(product)
}

/** Number of elements of a symbolic shape. */
export function sizeOfShape(shape: readonly Dim[]): Dim {
  return mulDims(...shape)
}

/** Names of the symbols in a dimension. */
export function symbolsOf(d: Dim): string[] {
  return [...new Set([...parse(d).keys()].flatMap((m) => m.split('*')).filter((s) => s !== ''))]
}

/** Value of a dimension once its symbols are known. */
export function evaluateDim(d: Dim, values: ReadonlyMap<string, number>): number {
  let total = 0
  for (const [monomial, coefficient] of parse(d)) {
    let term = coefficient
    for (const symbol of monomial === '' ? [] : monomial.split('*')) {
      const value = values.get(symbol)
      invariant(value !== undefined, `dimension '${symbol}' has no value`)
      term *= value
    }
    total += term
  }
  return total
}

export function sameShape(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i])
}

/** NumPy broadcasting of two shapes, or undefined where they do not fit. */
export function broadcastShapes(a: readonly Dim[], b: readonly Dim[]): Dim[] | undefined {
  const rank = Math.max(a.length, b.length)
  const out: Dim[] = []
  for (let i = 0; i < rank; i++) {
    const x = a[i - rank + a.length] ?? 1
    const y = b[i - rank + b.length] ?? 1
    if (x !== y && x !== 1 && y !== 1) return undefined
    out.push(x === 1 ? y : x)
  }
  return out
}
