/**
 * @file What lowrank uses of @huggingface/jinja, with types: the package's own do not resolve under Node's rules.
 * Must not know chat templates.
 */
import { Environment, Interpreter, Template } from '@huggingface/jinja'

/** A value of a template's world: `StringValue`, `ArrayValue` … */
export interface Value {
  readonly type: string
  readonly value: unknown
}

/** A node of a parsed template; its other fields depend on the type. */
export interface Node {
  readonly type: string
}

/** Variables by name. */
export interface Scope {
  /** Turns a JavaScript value into one of the template's world, under a name that is free yet. */
  set(name: string, value: unknown): Value
}

interface Run {
  run(program: Node): Value
  evaluate(node: Node | undefined, scope: Scope): Value
}

export const JinjaScope: new () => Scope = Environment
/** Evaluates nodes; every expression and statement goes through `evaluate`. */
export const JinjaInterpreter: new (scope: Scope) => Run = Interpreter

/** Parses with trim_blocks and lstrip_blocks, as transformers does. @throws Error where the text is no template */
export function parseJinja(source: string): Node {
  const { parsed }: { parsed: Node } = new Template(source)
  return parsed
}

/** Whether a field of a node is a node. */
export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

/** A field of a node, where it is a node. */
export function child(node: Node, name: string): Node | undefined {
  const found: unknown = Reflect.get(node, name)
  return isNode(found) ? found : undefined
}

/** What a node says: an identifier's name, an operator's sign. */
export function wordOf(node: Node | undefined): string {
  const word: unknown = node && Reflect.get(node, 'value')
  return typeof word === 'string' ? word : ''
}

/** A JavaScript value as one of the template's world. */
export function made(value: unknown): Value {
  return new JinjaScope().set('value', value)
}
