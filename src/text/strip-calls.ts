/**
 * @file Mends a defect of @huggingface/jinja 0.5.11: `text.strip(chars)`, `lstrip` and `rstrip` ignore their argument
 * there and take all whitespace, which changes what Qwen3's template renders. Calls with an argument are led to ours.
 * Must not know conversations. Source: Python's str.strip.
 */
import { isRecord } from '../support/json.ts'

const SIDES: Readonly<Record<string, readonly [left: boolean, right: boolean]>> = {
  strip: [true, true],
  lstrip: [true, false],
  rstrip: [false, true],
}

/** Global functions that the rewritten calls name: (text, chars) → text. */
export const STRIPS: Readonly<Record<string, (text: unknown, chars: unknown) => string>> = Object.fromEntries(
  Object.entries(SIDES).map(([name, [left, right]]) => [
    `lowrank_${name}`,
    (text: unknown, chars: unknown) => {
      if (typeof text !== 'string' || typeof chars !== 'string') throw new Error(`${name}() needs text`)
      return stripSides(text, chars, left, right)
    },
  ]),
)

function stripSides(text: string, chars: string, left: boolean, right: boolean): string {
  const points = [...text]
  const set = new Set(chars)
  let [start, end] = [0, points.length]
  while (left && start < end && set.has(points[start] ?? '')) start++
  while (right && end > start && set.has(points[end - 1] ?? '')) end--
  return points.slice(start, end).join('')
}

/** Turns `object.strip(x)` into `lowrank_strip(object, x)` throughout a parsed template. */
export function callOurStrips(node: unknown): void {
  if (node instanceof Map) for (const pair of node) pair.forEach(callOurStrips)
  if (Array.isArray(node)) node.forEach(callOurStrips)
  if (!isRecord(node) || node instanceof Map) return
  Object.values(node).forEach(callOurStrips)
  const { callee, args } = node
  if (node.type !== 'CallExpression' || !isRecord(callee) || !Array.isArray(args) || args.length !== 1) return
  const property = callee.property
  if (callee.type !== 'MemberExpression' || callee.computed === true || !isRecord(property)) return
  if (typeof property.value !== 'string' || !Object.hasOwn(SIDES, property.value)) return
  node.args = [callee.object, ...args]
  node.callee = { type: 'Identifier', value: `lowrank_${property.value}` }
}
