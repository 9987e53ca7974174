/**
 * @file The labels that rows have, as they come: each distinct one gets a number, and the place where it stood first is
 * kept, so that errors can name it. Must not know what the labels mean.
 */
import { LowrankError } from '../support/errors.ts'

export type LabelValue = string | number

export interface SeenLabel {
  readonly value: LabelValue
  /** `file:line` of the first row that has it. */
  readonly source: string
}

export class LabelTable {
  readonly seen: SeenLabel[] = []
  readonly #numbers = new Map<LabelValue, number>()

  /** The number of a label; `source` is where it stands. */
  number(value: LabelValue, source: string): number {
    const known = this.#numbers.get(value)
    if (known !== undefined) return known
    this.#numbers.set(value, this.seen.length)
    return this.seen.push({ value, source }) - 1
  }
}

/** A label of a row. @throws LowrankError `data` for what is neither a word nor a number */
export function labelValue(value: unknown, field: string): LabelValue {
  if (typeof value === 'string' && value !== '') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (typeof value === 'boolean') return String(value)
  const what = value === undefined || value === null || value === '' ? 'missing' : JSON.stringify(value).slice(0, 60)
  throw new LowrankError('data', `${field} is ${what}; a label is a word or a number`, { field })
}
