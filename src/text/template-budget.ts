/**
 * @file How much work and memory one rendering may take: a template comes with a model, and may loop for ever or grow
 * without end. Counts steps, not time, so that the same template fails or passes on every machine.
 * Must not know what a template says.
 */
import type { Value } from './jinja.ts'

/** Steps of one rendering, about two seconds; the longest real conversations take a few ten thousand. */
export const MAX_STEPS = 4_000_000
/** Longest text a template may hold: several times what any model reads at once. */
export const MAX_TEXT = 1 << 24
/** Most values that one value may hold, counted as they would print. */
const MAX_WEIGHT = 1_000_000
/** Characters of a text that cost as much as a step. */
const CHARACTERS_A_STEP = 256
const MAX_DEPTH = 200

export class TemplateBudget {
  #left: number
  /** Values held by a list or mapping, each as often as it would print. Namespaces change, so theirs is not kept. */
  readonly #weights = new WeakMap<object, number>()

  constructor(steps = MAX_STEPS) {
    this.#left = steps
  }

  /** @throws Error where nothing is left */
  spend(steps: number): void {
    this.#left -= steps
    if (this.#left < 0) throw new Error('it takes too many steps: does it loop for ever?')
  }

  /** Accounts for a value that an expression gave. @throws Error where it is larger than any conversation needs */
  take(value: Value): void {
    const inner = value.value
    if (typeof inner === 'string') {
      if (inner.length > MAX_TEXT) throw new Error(`it makes a text of ${inner.length} characters`)
      this.spend(inner.length / CHARACTERS_A_STEP)
    } else if (typeof inner === 'object' && inner !== null) this.weigh(value)
  }

  /** How many values a value holds, itself included, each as often as it would print; known values cost nothing. */
  weigh(value: Value, depth = 0): number {
    const inner = value.value
    const items: Iterable<Value> | undefined = Array.isArray(inner)
      ? inner
      : inner instanceof Map
        ? inner.values()
        : undefined
    if (items === undefined) return 1
    const known = this.#weights.get(value)
    if (known !== undefined) return known
    if (depth > MAX_DEPTH) throw new Error('it nests values too deeply')
    let weight = 1
    for (const item of items) {
      this.spend(1)
      weight += this.weigh(item, depth + 1)
      if (weight > MAX_WEIGHT) throw new Error(`it makes a value of more than ${MAX_WEIGHT} parts`)
    }
    if (value.type !== 'NamespaceValue') this.#weights.set(value, weight)
    return weight
  }
}
