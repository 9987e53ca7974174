/**
 * @file Files of rows, or rows of memory, to what a model is asked, in their order. Must not know models or engines.
 */
import { isLowrankError, LowrankError } from '../support/errors.ts'
import {
  adapterOf,
  encodeInput,
  INPUT_FIELDS,
  type InputRow,
  type InputSettings,
  type InputUnit,
} from './input-rows.ts'
import { otherTexts } from './label-rows.ts'
import { renamed } from './load-dataset.ts'
import { type RowSource, readRows, type SourcedRow, sourceName } from './rows.ts'

export interface ReadInputsOptions extends InputSettings {
  readonly sources: readonly RowSource[]
  /** Fields of rows and the columns that hold them, where those have other names. */
  readonly columns?: Readonly<Record<string, string>> | undefined
  /** How a row is read, by the adapter it names. @throws LowrankError for a name that is none */
  unitOf(adapter: string | undefined): InputUnit
  readonly signal?: AbortSignal | undefined
}

/** A row with its place, and its text to show. */
export interface PlacedInput extends InputRow {
  /** `file:line`. */
  readonly source: string
  readonly shown: string
}

/** @throws LowrankError `data` naming file, line and field; `data` where there is no row */
export async function readInputs(options: ReadInputsOptions): Promise<PlacedInput[]> {
  const { sources, columns = {}, signal } = options
  const named = new Set(Object.values(columns))
  const isField = (name: string): boolean => INPUT_FIELDS.some((field) => field === name) || named.has(name)
  const rows: PlacedInput[] = []
  const seen: SeenTexts = new Map()
  for await (const row of readRows(sources, { wanted: (all) => all.filter(isField) })) {
    if (signal?.aborted) throw new LowrankError('stopped', 'stopped while reading the rows')
    const source = sourceName(sources[row.source] ?? [], row.line)
    rows.push(inPlace(source, () => ({ ...read(row, options, seen), source })))
  }
  if (rows.length > 0) return rows
  const [first] = sources
  const file = typeof first === 'string' ? first : undefined
  throw new LowrankError('data', `${file ?? 'rows'}: there are no rows`, { file })
}

function read(
  { value }: SourcedRow,
  { columns, unitOf, ...settings }: ReadInputsOptions,
  seen: SeenTexts,
): Omit<PlacedInput, 'source'> {
  if (value instanceof LowrankError) throw value
  const row = columns === undefined ? value : renamed(value, columns)
  checkTexts(row, seen)
  const unit = unitOf(adapterOf(row))
  const input = encodeInput(row, unit, settings)
  if (input.ids.length > 0) return { ...input, shown: shownText(row) }
  throw new LowrankError('data', 'the row is empty: its text has no token', { field: 'text' })
}

/** Whether the rows with texts so far have two, by the adapter they ask. */
type SeenTexts = Map<string, boolean>

function checkTexts(row: Readonly<Record<string, unknown>>, seen: SeenTexts): void {
  const isPair = row.text_pair !== undefined && row.text_pair !== null
  if (!isPair && typeof row.text !== 'string') return
  const adapter = adapterOf(row) ?? ''
  const before = seen.get(adapter) ?? isPair
  seen.set(adapter, before)
  if (before !== isPair) throw otherTexts(isPair)
}

/** Texts are cut where they are shown; this much of one is always enough. */
const SHOWN = 200

function shownText({ text, text_pair: pair, tokens, input_ids: ids }: Record<string, unknown>): string {
  const list = Array.isArray(tokens) ? tokens.slice(0, SHOWN).join(' ') : undefined
  const whole = typeof text === 'string' ? text : (list ?? (Array.isArray(ids) ? ids.slice(0, SHOWN).join(',') : ''))
  const both = typeof pair === 'string' ? `${whole.slice(0, SHOWN)} | ${pair}` : whole
  return both.slice(0, SHOWN).replaceAll(/\s+/g, ' ')
}

function inPlace<T>(source: string, body: () => T): T {
  try {
    return body()
  } catch (error) {
    if (!isLowrankError(error)) throw error
    const { code, message, field, suggestion } = error
    throw new LowrankError(code, `${source}: ${message}`, { file: source, field, suggestion, cause: error })
  }
}
