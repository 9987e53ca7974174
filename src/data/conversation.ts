/**
 * @file Rows that are conversations (messages, sharegpt, alpaca) as the messages and tools a chat template takes.
 * Must not know templates or tokens. Errors carry no place in a file; the caller adds it.
 * Source: OpenAI's chat format, LLaMA-Factory's alpaca and sharegpt formats, Stanford Alpaca's prompt.
 */
import { LowrankError } from '../support/errors.ts'
import { isRecord, parseJson } from '../support/json.ts'
import { nearest } from '../support/nearest.ts'
import type { Message } from '../text/chat-template.ts'

export interface Conversation {
  readonly messages: readonly Message[]
  /** Descriptions of tools, where the row has any. */
  readonly tools: readonly unknown[] | undefined
}

type Row = Readonly<Record<string, unknown>>

/** Kinds of rows that become a conversation. */
export const conversations = {
  messages: (row: Row): Conversation => ({ messages: messagesOf(row.messages, 'messages'), tools: toolsOf(row) }),
  sharegpt: (row: Row): Conversation => ({
    messages: withSystem(row, sharegptTurns(row.conversations)),
    tools: toolsOf(row),
  }),
  alpaca: (row: Row): Conversation => ({ messages: alpacaTurns(row), tools: undefined }),
} as const

/** Stanford Alpaca's prompt, for models without a chat template. @throws LowrankError `data` for what it has no place for */
export function alpacaPrompt(row: Row): { prompt: string; completion: string } {
  const [instruction, input, output] = [textOf(row, 'instruction'), optionalText(row, 'input'), textOf(row, 'output')]
  for (const field of ['system', 'history'])
    if (!isEmpty(row[field]))
      throw new LowrankError('data', `${field} needs a chat template, and this tokenizer has none`, { field })
  const given = input !== ''
  const head = given
    ? 'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.'
    : 'Below is an instruction that describes a task. Write a response that appropriately completes the request.'
  const middle = given ? `\n\n### Input:\n${input}` : ''
  return { prompt: `${head}\n\n### Instruction:\n${instruction}${middle}\n\n### Response:`, completion: output }
}

function alpacaTurns(row: Row): Message[] {
  const [instruction, input, output] = [textOf(row, 'instruction'), optionalText(row, 'input'), textOf(row, 'output')]
  const turns: Message[] = historyOf(row.history).flatMap(([asked, answered]) => [
    { role: 'user', content: asked },
    { role: 'assistant', content: answered },
  ])
  const asked = input === '' ? instruction : instruction === '' ? input : `${instruction}\n${input}`
  turns.push({ role: 'user', content: asked }, { role: 'assistant', content: output })
  return withSystem(row, turns)
}

function historyOf(value: unknown): [string, string][] {
  if (isEmpty(value)) return []
  if (!Array.isArray(value)) throw wrong('history', value, 'a list of pairs')
  return value.map((pair: unknown, at): [string, string] => {
    const [asked, answered]: unknown[] = Array.isArray(pair) ? pair : []
    if (typeof asked === 'string' && typeof answered === 'string') return [asked, answered]
    throw wrong(`history[${at}]`, pair, 'a pair of texts')
  })
}

/** A `system` column opens the conversation, where the turns do not bring their own. */
function withSystem(row: Row, turns: Message[]): Message[] {
  const system = optionalText(row, 'system')
  return system === '' || turns[0]?.role === 'system' ? turns : [{ role: 'system', content: system }, ...turns]
}

const ROLES: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  chatgpt: 'assistant',
  system: 'system',
  tool: 'tool',
  observation: 'tool',
  function_response: 'tool',
  function_call: 'assistant',
}

function sharegptTurns(value: unknown): Message[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong('conversations', value, 'a list of at least one turn')
  // Some sets keep messages under this name.
  if (value.every((turn: unknown) => isRecord(turn) && Object.hasOwn(turn, 'role')))
    return messagesOf(value, 'conversations')
  return value.map((turn: unknown, at): Message => {
    const field = `conversations[${at}]`
    if (!isRecord(turn) || typeof turn.from !== 'string' || typeof turn.value !== 'string')
      throw wrong(field, turn, 'an object with from and value')
    const role = ROLES[turn.from]
    if (role === undefined)
      throw new LowrankError(
        'data',
        `${field} is from ${short(turn.from)}, not one of ${Object.keys(ROLES).join(', ')}`,
        {
          field,
          suggestion: nearest(turn.from, Object.keys(ROLES))[0],
        },
      )
    if (turn.from !== 'function_call') return { role, content: turn.value }
    return { role, content: '', tool_calls: callsOf(jsonOf(turn.value, field), field) }
  })
}

/** `{name, arguments}`, or a list of them, as messages hold calls. */
function callsOf(value: unknown, field: string): unknown[] {
  const calls: unknown[] = Array.isArray(value) ? value : [value]
  return calls.map((call) => {
    if (!isRecord(call) || typeof call.name !== 'string') throw wrong(field, call, 'a call with name and arguments')
    return { type: 'function', function: { name: call.name, arguments: argumentsOf(call.arguments ?? {}) } }
  })
}

function messagesOf(value: unknown, name: string): Message[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong(name, value, 'a list of at least one message')
  return value.map((entry: unknown, at): Message => {
    const field = `${name}[${at}]`
    const spoken = isRecord(entry) && (entry.content !== undefined || entry.tool_calls !== undefined)
    if (!spoken || typeof entry.role !== 'string') throw wrong(field, entry, 'an object with role and content')
    refuseWeight(entry, field)
    const message: Message = { ...entry, role: entry.role }
    if (Object.hasOwn(entry, 'content')) message.content = contentOf(entry.content)
    if (Array.isArray(entry.tool_calls))
      message.tool_calls = entry.tool_calls.map((call: unknown) => readable(call, field))
    return message
  })
}

/** A weight that says otherwise than "assistant turns are learned, others are not" would be ignored: it is refused. */
function refuseWeight(message: Row, field: string): void {
  for (const name of ['weight', 'loss_weight', 'train']) {
    const value = message[name]
    if (value === undefined || value === null) continue
    if (Number(value) === (message.role === 'assistant' ? 1 : 0)) continue
    throw new LowrankError('unsupported', `${field} has ${name} ${short(value)}: turns cannot be weighted`, {
      field: `${field}.${name}`,
    })
  }
}

/** Content in parts, all of them text, is the text: most templates take nothing else. */
function contentOf(content: unknown): unknown {
  if (!Array.isArray(content)) return content
  const texts = content.map((part: unknown) => {
    if (!isRecord(part) || part.type !== 'text') return undefined
    return part.text ?? part.value
  })
  return texts.every((text) => typeof text === 'string') ? texts.join('') : content
}

/** A call with its arguments as an object. OpenAI writes them as JSON text, and most templates would quote that again. */
function readable(call: unknown, field: string): unknown {
  if (!isRecord(call)) throw wrong(`${field}.tool_calls`, call, 'an object')
  const inner = call.function
  if (isRecord(inner)) return { ...call, function: { ...inner, arguments: argumentsOf(inner.arguments ?? {}) } }
  return Object.hasOwn(call, 'arguments') ? { ...call, arguments: argumentsOf(call.arguments) } : call
}

function argumentsOf(value: unknown): unknown {
  if (typeof value !== 'string') return value
  try {
    const read = parseJson(value)
    return isRecord(read) ? read : value
  } catch {
    return value // a template may take any text
  }
}

/** Tools as a list, or as JSON text of one; a bare `{name, …}` is put where templates look for it. */
function toolsOf(row: Row): readonly unknown[] | undefined {
  if (isEmpty(row.tools)) return undefined
  const value = typeof row.tools === 'string' ? jsonOf(row.tools, 'tools') : row.tools
  if (!Array.isArray(value)) throw wrong('tools', value, 'a list')
  if (value.length === 0) return undefined
  return value.map((tool: unknown) =>
    isRecord(tool) && typeof tool.name === 'string' && tool.function === undefined
      ? { type: 'function', function: tool }
      : tool,
  )
}

function jsonOf(text: string, field: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (!(error instanceof LowrankError)) throw error
    throw new LowrankError('data', `${field} is ${short(text)}, which is not JSON`, { field })
  }
}

function textOf(row: Row, field: string): string {
  const value = row[field]
  if (typeof value === 'string') return value
  throw wrong(field, value, 'a string')
}

function optionalText(row: Row, field: string): string {
  return isEmpty(row[field]) ? '' : textOf(row, field)
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
}

function wrong(field: string, value: unknown, expected: string): LowrankError {
  return new LowrankError('data', `${field} is ${short(value)}, not ${expected}`, { field })
}

function short(value: unknown): string {
  const written = JSON.stringify(value) ?? 'missing'
  return written.length > 60 ? `${written.slice(0, 57)}…` : written
}
