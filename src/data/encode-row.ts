/**
 * @file One row to ids and labels: what the model reads, and which tokens it learns to write.
 * Must not know files or batches. Errors carry no place in a file; the caller adds it.
 */
import { LowrankError } from '../support/errors.ts'
import { assistantText } from '../text/assistant-text.ts'
import type { ChatTemplate } from '../text/chat-template.ts'
import { tokensInSpans } from '../text/token-spans.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { alpacaPrompt, type Conversation, conversations } from './conversation.ts'
import { NO_LABEL } from './example.ts'
import { encodeLabelRow, encodeMaskable, type LabelFormat } from './label-rows.ts'
import type { LabelValue } from './label-table.ts'
import type { RowFormat } from './row-format.ts'

/** Which tokens carry loss where a row has a prompt. */
export type TrainOn = 'completion' | 'all'

export interface EncodeSettings {
  /** Not needed for `input_ids` rows. */
  tokenizer?: Tokenizer | undefined
  /** Ids the model has. */
  vocabSize: number
  /** Text rows are cut to this many tokens. */
  maxLength: number
  /** Most tokens the model can read (its learned positions); no limit where absent. */
  modelMaxLength?: number | undefined
  trainOn: TrainOn
  /** Kinds of token types the model takes. Default 0. */
  tokenTypes?: number
}

export interface Encoded {
  ids: number[]
  /** A label a token; of rows with labels of their own, numbers of the table. */
  labels: number[]
  types?: number[] | undefined
  /** Tokens were cut off to fit `maxLength`. */
  cut: boolean
}

type Row = Readonly<Record<string, unknown>>

/** Rows with labels of their own. `numberOf` keeps a label and gives its number. @throws LowrankError `data` */
export function encodeLabelled(
  row: Row,
  format: LabelFormat,
  settings: EncodeSettings,
  numberOf: (label: LabelValue) => number,
): Encoded {
  const { tokenizer, vocabSize, tokenTypes = 0 } = settings
  const { ids, types, labels, cut } = encodeLabelRow(row, format, { tokenizer, tokenTypes, limit: limitOf(settings) })
  if (format === 'labelled-ids') checkGiven(ids, settings)
  else checkTokens(ids, vocabSize, tokenizer)
  return { ids, types, cut, labels: labels.map((label) => (label === undefined ? NO_LABEL : numberOf(label))) }
}

/** Texts of a masked language model. @throws LowrankError `data` */
export function encodeMasked(row: Row, settings: EncodeSettings): Encoded {
  const { tokenizer, vocabSize } = settings
  const encoded = encodeMaskable(row, { tokenizer, tokenTypes: 0, limit: limitOf(settings) })
  if (Object.hasOwn(row, 'input_ids')) checkGiven(encoded.ids, settings)
  else checkTokens(encoded.ids, vocabSize, tokenizer)
  return encoded
}

export function limitOf({
  maxLength,
  modelMaxLength = maxLength,
}: Pick<EncodeSettings, 'maxLength' | 'modelMaxLength'>): number {
  return Math.min(maxLength, modelMaxLength)
}

function tokenNamed(id: number, tokenizer: Tokenizer | undefined): string {
  return `${JSON.stringify(tokenizer?.tokenOf(id))}, a token of ${tokenizer?.file},`
}

/** Texts and conversations of language models. @throws LowrankError `data` saying what is wrong with the row */
export function encodeRow(row: Row, format: Exclude<RowFormat, LabelFormat>, settings: EncodeSettings): Encoded {
  if (format === 'input_ids') return takeIds(row, settings)
  const tokenizer = settings.tokenizer
  if (tokenizer === undefined)
    throw new LowrankError('data', `${format} rows need a tokenizer`, { suggestion: 'name one with --tokenizer' })
  const { ids, learns } = encoders[format](row, tokenizer, settings.trainOn)
  checkTokens(ids, settings.vocabSize, tokenizer)
  const limit = limitOf(settings)
  const all = settings.trainOn === 'all'
  return {
    ids: ids.slice(0, limit),
    labels: ids.slice(0, limit).map((id, at) => (all || learns[at] === true ? id : NO_LABEL)),
    cut: ids.length > limit,
  }
}

interface Learned {
  ids: number[]
  learns: boolean[]
}

type Encoder = (row: Row, tokenizer: Tokenizer, trainOn: TrainOn) => Learned

const encoders: { readonly [F in Exclude<RowFormat, 'input_ids' | LabelFormat>]: Encoder } = {
  text(row, tokenizer) {
    const ids = withEnd(tokenizer.encodeStart(text(row, 'text')), tokenizer)
    return { ids, learns: ids.map(() => true) }
  },
  'prompt-completion': (row, tokenizer) => joinApart(text(row, 'prompt'), text(row, 'completion'), tokenizer),
  messages: (row, tokenizer, trainOn) => throughTemplate(conversations.messages(row), tokenizer, trainOn),
  sharegpt: (row, tokenizer, trainOn) => throughTemplate(conversations.sharegpt(row), tokenizer, trainOn),
  alpaca(row, tokenizer, trainOn) {
    if (tokenizer.chatTemplate !== undefined) return throughTemplate(conversations.alpaca(row), tokenizer, trainOn)
    const { prompt, completion } = alpacaPrompt(row)
    return joinApart(prompt, completion, tokenizer)
  },
}

/** Prompt and completion tokenized apart and joined. */
function joinApart(asked: string, answered: string, tokenizer: Tokenizer): Learned {
  const prompt = tokenizer.encodeStart(asked)
  const ids = withEnd([...prompt, ...tokenizer.encode(answered, { addSpecialTokens: false })], tokenizer)
  return { ids, learns: ids.map((_, at) => at >= prompt.length) }
}

function throughTemplate({ messages, tools }: Conversation, tokenizer: Tokenizer, trainOn: TrainOn): Learned {
  const template = tokenizer.chatTemplate
  if (template === undefined)
    throw new LowrankError('data', `conversations need a chat template, and ${tokenizer.file} has none beside it`, {
      suggestion: 'write the rows as prompt and completion, or name an instruct model with --tokenizer',
    })
  refuseUnknown(template, 'tools', tools !== undefined, tools)
  refuseUnknown(
    template,
    'tool_calls',
    messages.some((message) => message.tool_calls != null),
    tools,
  )
  if (trainOn === 'all') {
    const ids = tokenizer.encode(template.render(messages, { tools }), { addSpecialTokens: false })
    return { ids, learns: ids.map(() => true) }
  }
  const { text, spans } = assistantText(template, messages, tools, tokenizer.addedTokens)
  const { ids, inside } = tokensInSpans(tokenizer, text, spans)
  return { ids, learns: inside }
}

/** A template that never names what a row has would leave it out without a word. */
function refuseUnknown(
  template: ChatTemplate,
  name: string,
  used: boolean,
  tools: readonly unknown[] | undefined,
): void {
  if (!used || template.mentions(name, tools)) return
  throw new LowrankError('data', `the row has ${name}, which the chat template in ${template.file} does not know`, {
    field: name,
    suggestion: 'name a model whose template has tools with --tokenizer',
  })
}

function withEnd(ids: number[], tokenizer: Tokenizer): number[] {
  const end = tokenizer.eosId
  return end === undefined || ids.at(-1) === end ? ids : [...ids, end]
}

function takeIds(row: Row, settings: EncodeSettings): Encoded {
  const ids = integers(row, 'input_ids')
  if (ids.length === 0) throw new LowrankError('data', 'input_ids is empty', { field: 'input_ids' })
  checkGiven(ids, settings)
  const labels = Object.hasOwn(row, 'labels') ? integers(row, 'labels') : ids
  if (labels.length !== ids.length)
    throw new LowrankError('data', `labels has ${labels.length} entries, input_ids has ${ids.length}`, {
      field: 'labels',
    })
  const wrong = labels.findIndex((label) => label !== NO_LABEL && (label < 0 || label >= settings.vocabSize))
  if (wrong >= 0)
    throw new LowrankError(
      'data',
      `labels[${wrong}] is ${labels[wrong]}: not ${NO_LABEL} and not in the vocabulary of ${settings.vocabSize}`,
      { field: 'labels' },
    )
  return { ids, labels, cut: false }
}

/** Ids that a row brings along are never cut. */
export function checkGiven(
  ids: readonly number[],
  settings: Pick<EncodeSettings, 'vocabSize' | 'modelMaxLength'>,
): void {
  checkIds(ids, settings.vocabSize, (at) => `input_ids[${at}]`, { field: 'input_ids' })
  const limit = settings.modelMaxLength
  if (limit !== undefined && ids.length > limit)
    throw new LowrankError(
      'data',
      `input_ids has ${ids.length} tokens and the model reads at most ${limit}; rows of ids are never cut`,
      {
        field: 'input_ids',
      },
    )
}

/** Ids that a tokenizer made: where one does not fit, it is another model's. */
export function checkTokens(ids: readonly number[], vocabSize: number, tokenizer: Tokenizer | undefined): void {
  checkIds(ids, vocabSize, (at) => tokenNamed(ids[at] ?? 0, tokenizer), {
    ...{ field: 'tokenizer', suggestion: 'name the tokenizer of this model, or a folder with both' },
  })
}

function checkIds(
  ids: readonly number[],
  vocabSize: number,
  name: (at: number) => string,
  details: { field: string; suggestion?: string },
): void {
  const wrong = ids.findIndex((id) => id < 0 || id >= vocabSize)
  if (wrong < 0) return
  const message = `${name(wrong)} is ${ids[wrong]}: not in the model's vocabulary of ${vocabSize}`
  throw new LowrankError('data', message, details)
}

function integers(row: Row, field: string): number[] {
  const value = row[field]
  if (!Array.isArray(value)) throw new LowrankError('data', `${field} is not a list of integers`, { field })
  return value.map((entry: unknown, at) => {
    if (typeof entry === 'number' && Number.isInteger(entry)) return entry
    throw new LowrankError('data', `${field}[${at}] is ${short(entry)}, not an integer`, { field })
  })
}

function text(row: Row, field: string): string {
  const value = row[field]
  if (typeof value === 'string') return value
  throw new LowrankError('data', `${field} is ${short(value)}, not a string`, { field })
}

function short(value: unknown): string {
  const written = JSON.stringify(value) ?? 'missing'
  return written.length > 60 ? `${written.slice(0, 57)}…` : written
}
