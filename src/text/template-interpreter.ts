/**
 * @file Runs a parsed chat template as Python's Jinja would, within a budget of steps and sizes. @huggingface/jinja does
 * the work; what it does otherwise than Python is mended here: printing, `+`, `~`, `==`, and filters on other types.
 * Must not know conversations. Source: jinja2 3.1 as transformers sets it up (chat_template_utils), Python's str methods.
 */
import { isRecord } from '../support/json.ts'
import {
  child,
  isNode,
  JinjaInterpreter,
  JinjaScope,
  made,
  type Node,
  parseJinja,
  type Scope,
  type Value,
  wordOf,
} from './jinja.ts'
import { pythonJson, type ToJsonOptions } from './python-tojson.ts'
import { pythonEquals, pythonText, pythonType } from './python-values.ts'
import { strftime } from './strftime.ts'
import { MAX_TEXT, TemplateBudget } from './template-budget.ts'

/** Largest template read; the longest real one is near 20 kB. */
const MAX_TEMPLATE = 1 << 20
/** Deepest nesting of expressions and calls: well before the stack ends, which the library takes for a missing name. */
const MAX_DEPTH = 500
/** What the library does for each turn of a loop, empty or not, in steps. */
const STEPS_A_TURN = 8
/** Node types of ours: a value that is there already, and an expression whose value is printed. */
const HELD = 'lowrank:held'
const PRINTED = 'lowrank:printed'
/** Statements: everything else in a body is an expression to print, or the template's own text. */
const STATEMENTS = new Set([
  ...['Set', 'If', 'For', 'Macro', 'CallStatement', 'FilterStatement', 'Break', 'Continue', 'Comment', 'StringLiteral'],
])
/** Filters that Jinja applies to the text of whatever stands before them. */
const TEXT_FILTERS = new Set(['trim', 'upper', 'lower', 'title', 'capitalize', 'string', 'replace', 'indent'])
/** Filters that walk a list, for which Jinja takes None and undefined as empty. */
const LIST_FILTERS = new Set(['selectattr', 'rejectattr', 'map', 'list', 'join', 'unique', 'sort'])

/** @throws Error where the text is no template */
export function parseTemplate(source: string): Node {
  if (source.length > MAX_TEMPLATE) throw new Error(`it has ${source.length} characters`)
  const parsed = parseJinja(source)
  markPrinted(parsed)
  return parsed
}

/** Renders; every failure of the template is an Error whose message says why. */
export function runTemplate(program: Node, variables: Readonly<Record<string, unknown>>): string {
  const scope = new JinjaScope()
  const budget = new TemplateBudget()
  for (const [name, value] of Object.entries({ ...globals(budget), ...variables })) scope.set(name, value)
  try {
    const result = new PythonInterpreter(scope, budget).run(program)
    return pythonText(result)
  } catch (error) {
    if (error instanceof RangeError) throw new Error('it calls itself without end, or makes too long a text')
    throw error
  }
}

function globals(budget: TemplateBudget): Record<string, unknown> {
  return {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    raise_exception: (message: unknown) => {
      throw new Error(String(message))
    },
    range: (start: unknown, stop?: unknown, step?: unknown) => range(budget, start, stop, step),
    strftime_now: (format: unknown) => strftime(new Date(), String(format)),
  }
}

/** Python's range, counted before it is made. */
function range(budget: TemplateBudget, start: unknown, stop: unknown, step: unknown = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop]
  if (!isInteger(from) || !isInteger(to) || !isInteger(step)) throw new Error('range() needs whole numbers')
  if (step === 0) throw new Error('range() step must not be zero')
  const length = Math.max(0, Math.ceil((to - from) / step))
  budget.spend(length)
  return Array.from({ length }, (_, i) => from + i * step)
}

function isInteger(value: unknown): value is number {
  return Number.isInteger(value)
}

/** Wraps every expression that stands in a body by itself: its value is printed. */
function markPrinted(node: unknown): void {
  if (Array.isArray(node)) node.forEach(markPrinted)
  else if (node instanceof Map) for (const pair of node) pair.forEach(markPrinted)
  else if (isRecord(node)) markBodies(node)
}

function markBodies(node: Record<string, unknown>): void {
  Object.values(node).forEach(markPrinted)
  for (const name of ['body', 'alternate', 'defaultBlock']) {
    const body = node[name]
    if (!Array.isArray(body)) continue
    node[name] = body.map((entry: unknown) =>
      isNode(entry) && !STATEMENTS.has(entry.type) ? { type: PRINTED, value: entry } : entry,
    )
  }
}

class PythonInterpreter extends JinjaInterpreter {
  readonly #budget: TemplateBudget
  #depth = 0

  constructor(scope: Scope, budget: TemplateBudget) {
    super(scope)
    this.#budget = budget
  }

  override evaluate(node: Node | undefined, scope: Scope): Value {
    this.#budget.spend(1)
    // A loop is left by an exception, so that what is counted up must be counted down again.
    if (++this.#depth > MAX_DEPTH) throw new Error('it calls itself too deeply')
    let value: Value | undefined
    try {
      // An element that is not there is `undefined` itself in places.
      value = this.#evaluate(node, scope)
    } finally {
      this.#depth--
    }
    if (value === undefined) return made(undefined)
    this.#budget.take(value)
    return value
  }

  #evaluate(node: Node | undefined, scope: Scope): Value {
    if (node === undefined) return super.evaluate(node, scope)
    if (isHeld(node)) return node.held
    switch (node.type) {
      case PRINTED:
        return made(this.#text(this.evaluate(child(node, 'value'), scope)))
      case 'BinaryExpression':
        return this.#binary(node, scope)
      case 'FilterExpression':
        return this.#filter(node, scope)
      case 'For':
        return super.evaluate(withFields(node, { iterable: this.#walked(child(node, 'iterable'), scope) }), scope)
      default:
        return super.evaluate(node, scope)
    }
  }

  /** What a loop walks, as a node: nothing of what is undefined, characters of a text. */
  #walked(iterable: Node | undefined, scope: Scope): Node {
    if (iterable?.type === 'SelectExpression')
      return withFields(iterable, { lhs: this.#walked(child(iterable, 'lhs'), scope) })
    const found = this.evaluate(iterable, scope)
    const list = found.type === 'UndefinedValue' ? made([]) : isText(found) ? made([...found.value]) : found
    if (Array.isArray(list.value)) this.#budget.spend(list.value.length * STEPS_A_TURN)
    return held(list)
  }

  #binary(node: Node, scope: Scope): Value {
    const operator = wordOf(child(node, 'operator'))
    if (operator === 'and' || operator === 'or') return super.evaluate(node, scope)
    const left = this.evaluate(child(node, 'left'), scope)
    const right = this.evaluate(child(node, 'right'), scope)
    if (operator === '==' || operator === '!=') {
      this.#budget.spend(this.#budget.weigh(left))
      return made(pythonEquals(left, right) === (operator === '=='))
    }
    if (operator === '~') return made(joined(this.#text(left), this.#text(right)))
    if (operator === '+' && (isText(left) || isText(right))) {
      if (!isText(left) || !isText(right)) throw new Error(notText(left, right))
      return made(joined(left.value, right.value))
    }
    if ((operator === 'in' || operator === 'not in') && Array.isArray(right.value)) {
      this.#budget.spend(this.#budget.weigh(right))
      const found = right.value.some((item: Value) => pythonEquals(item, left))
      return made(found === (operator === 'in'))
    }
    return super.evaluate(withFields(node, { left: held(left), right: held(right) }), scope)
  }

  #filter(node: Node, scope: Scope): Value {
    const filter = child(node, 'filter')
    const name = wordOf(filter?.type === 'CallExpression' ? child(filter, 'callee') : filter)
    let operand = this.evaluate(child(node, 'operand'), scope)
    const nothing = operand.type === 'NullValue' || operand.type === 'UndefinedValue'
    if (name === 'tojson' || name === 'join') this.#budget.spend(this.#budget.weigh(operand))
    if (name === 'tojson') return made(pythonJson(operand, this.#jsonOptions(filter, scope)))
    if (TEXT_FILTERS.has(name) && !isText(operand)) operand = made(this.#text(operand))
    else if (LIST_FILTERS.has(name) && nothing) operand = made([])
    else if (Array.isArray(operand.value)) this.#budget.spend(operand.value.length)
    return super.evaluate(withFields(node, { operand: held(operand) }), scope)
  }

  /** Arguments of `tojson`, by name or in Python's order. */
  #jsonOptions(filter: Node | undefined, scope: Scope): ToJsonOptions {
    const given = new Map<string, unknown>()
    const args: unknown = filter?.type === 'CallExpression' ? Reflect.get(filter, 'args') : []
    for (const [i, arg] of (Array.isArray(args) ? args.filter(isNode) : []).entries()) {
      const named = arg.type === 'KeywordArgumentExpression'
      const name = named ? wordOf(child(arg, 'key')) : (['ensure_ascii', 'indent', 'separators', 'sort_keys'][i] ?? '')
      given.set(name, this.evaluate(named ? child(arg, 'value') : arg, scope).value)
    }
    const [indent, separators] = [given.get('indent'), given.get('separators')]
    const [item, key] = Array.isArray(separators) ? separators.map((one: Value) => this.#text(one)) : []
    return {
      ensureAscii: given.get('ensure_ascii') === true,
      indent: typeof indent === 'number' ? indent : undefined,
      separators: item === undefined || key === undefined ? undefined : [item, key],
      sortKeys: given.get('sort_keys') === true,
    }
  }

  #text(value: Value): string {
    this.#budget.spend(this.#budget.weigh(value))
    return pythonText(value)
  }
}

function withFields(node: Node, fields: Readonly<Record<string, Node>>): Node {
  return { ...node, ...fields }
}

interface Held extends Node {
  readonly held: Value
}

/** An operand that was evaluated already, put back for the library to go on with. */
function held(value: Value): Held {
  return { type: HELD, held: value }
}

function isHeld(node: Node): node is Held {
  return node.type === HELD
}

function isText(value: Value): value is Value & { value: string } {
  return typeof value.value === 'string'
}

function joined(left: string, right: string): string {
  if (left.length + right.length > MAX_TEXT) throw new Error('it makes too long a text')
  return left + right
}

function notText(left: Value, right: Value): string {
  const other = isText(left) ? right : left
  return `can only join a text to a text, not to ${pythonType(other)} (${short(pythonText(other))})`
}

function short(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}
