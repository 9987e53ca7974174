/**
 * @file The one mutable thing of a graph's life: makes nodes, infers their types by the rules it is given, and
 * returns the existing node where an equal one stands (so common subexpressions are built once).
 * Must not know what an op computes: `ops/` hands it the type rules.
 */
import type { Dim } from '../tensor/dim.ts'
import type { Node, NodeOf, Phase, TensorType } from './types.ts'
import type { InputKind, OpName, Ops, ParamsOf } from './vocabulary.ts'

/** A node, or a number that stands for an f32 scalar. */
export type Operand = Node | number

type Operands<Names extends readonly string[]> = { [I in keyof Names]: Operand }
type ParamArgs<K extends OpName> = keyof Ops[K]['params'] extends never
  ? keyof Ops[K]['optional'] extends never
    ? []
    : [params?: Partial<Ops[K]['optional']>]
  : [params: Ops[K]['params'] & Partial<Ops[K]['optional']>]
type Join<Names, Params extends readonly unknown[]> = Names extends readonly string[]
  ? [...Operands<Names>, ...Params]
  : [inputs: readonly Node[], ...Params]
type Args<K extends OpName> = Join<Ops[K]['inputs'], ParamArgs<K>>

/** One method an op: `g.matmul(a, b, { transB: true })`. */
type OpMethods = { [K in OpName]: (...args: Args<K>) => Node }

export interface Builder extends OpMethods {
  /** One application with every parameter given: how passes build a node anew over other inputs. */
  apply<K extends OpName>(op: K, inputs: readonly Node[], params: ParamsOf<K>): Node
  /** An input fed at each run. */
  feed(name: string, type: TensorType): Node
  /** A frozen weight, bound once at compile. */
  weight(name: string, shape: readonly Dim[]): Node
  /** A tensor that the engine keeps between runs. */
  state(name: string, shape: readonly Dim[]): Node
  scalar(value: number): Node
  /** Runs `body` with nodes marked as standing at `path` (nested paths join with dots). */
  scoped<T>(path: string, body: () => T): T
  /** Runs `body` with nodes marked as belonging to `phase`, at the exact `scope`. */
  during<T>(phase: Phase, scope: string, body: () => T): T
  readonly scope: string
}

/** What `ops/` tells the builder about an op. */
export interface BuildRule<K extends OpName> {
  readonly optional: Ops[K]['optional']
  type(inputs: readonly TensorType[], params: ParamsOf<K>): TensorType
}
export type BuildRules = { readonly [K in OpName]: BuildRule<K> & { readonly inputs: readonly string[] | 'many' } }

/** A builder over a set of rules. `ops/index.ts` has the one with lowrank's own vocabulary. */
export function createBuilder(rules: BuildRules): Builder {
  const interned = new Map<string, Node>()
  let scope = ''
  let phase: Phase = 'forward'

  function make<K extends OpName>(op: K, inputs: readonly Node[], given: object): Node {
    const rule: BuildRules[K] = rules[op]
    const params = { ...rule.optional, ...given } as ParamsOf<K>
    const key = `${op}(${inputs.map((n) => n.id).join()})${keyOf(params)}`
    const known = interned.get(key)
    if (known) return known
    const type = rule.type(
      inputs.map((n) => n.type),
      params,
    )
    const node = Object.freeze({ id: interned.size, op, inputs, params, type, scope, phase } satisfies NodeOf<K>)
    interned.set(key, node as NodeOf<K> as Node)
    return node as NodeOf<K> as Node
  }

  const scalar = (value: number): Node => make('constant', [], { dtype: 'f32', shape: [], values: [value] })
  const input = (name: string, kind: InputKind, type: TensorType): Node => make('input', [], { name, kind, type })

  function method(op: OpName): (...args: readonly unknown[]) => Node {
    const { inputs } = rules[op]
    if (inputs === 'many') return (list, params) => make(op, list as readonly Node[], (params ?? {}) as object)
    return (...args) => {
      const nodes = args.slice(0, inputs.length).map((x) => (typeof x === 'number' ? scalar(x) : (x as Node)))
      return make(op, nodes, (args[inputs.length] ?? {}) as object)
    }
  }

  const methods = Object.fromEntries(
    (Object.keys(rules) as OpName[]).map((op) => [op, method(op)]),
  ) as unknown as OpMethods
  return {
    ...methods,
    apply: make,
    scalar,
    feed: (name, type) => input(name, 'feed', type),
    weight: (name, shape) => input(name, 'weight', { dtype: 'f32', shape }),
    state: (name, shape) => input(name, 'state', { dtype: 'f32', shape }),
    scoped(path, body) {
      const outer = scope
      scope = outer === '' ? path : path === '' ? outer : `${outer}.${path}`
      try {
        return body()
      } finally {
        scope = outer
      }
    },
    during(nextPhase, nextScope, body) {
      const [outerPhase, outerScope] = [phase, scope]
      phase = nextPhase
      scope = nextScope
      try {
        return body()
      } finally {
        phase = outerPhase
        scope = outerScope
      }
    },
    get scope() {
      return scope
    },
  }
}

/**
 * Text that is equal exactly for equal parameters. Not JSON, which cannot tell −0 and infinities apart and is slow; the
 * separators keep `[1, 2]` and `['1,2']` apart, as no name holds a control character.
 */
function keyOf(value: unknown): string {
  if (Object.is(value, -0)) return '-0'
  if (typeof value === 'string') return `\u0001${value}\u0002`
  if (Array.isArray(value)) return `[${value.map(keyOf).join()}]`
  if (typeof value !== 'object' || value === null) return String(value)
  let key = '{'
  for (const name in value) key += `${name}:${keyOf(value[name as keyof typeof value])},`
  return `${key}}`
}
