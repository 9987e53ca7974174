/**
 * @file Which characters of a rendered conversation the model itself would write: every assistant turn and what ends it.
 * Must not know tokens' ids. By the template's generation marks, else by the difference of growing prefixes, else refused.
 */
import { LowrankError } from '../support/errors.ts'
import type { ChatTemplate, Message } from './chat-template.ts'
import type { Span } from './generation-marks.ts'

export interface AssistantText {
  text: string
  /** In order, not overlapping. */
  spans: Span[]
}

/**
 * @param endTokens contents of added tokens: where a turn ends with one, whitespace that the template puts after it
 * belongs to no one
 * @throws LowrankError `data`, naming the turn whose text cannot be told
 */
export function assistantText(
  template: ChatTemplate,
  messages: readonly Message[],
  tools: readonly unknown[] | undefined,
  endTokens: ReadonlySet<string>,
): AssistantText {
  if (template.hasMarks(tools)) return template.renderMarked(messages, { tools })
  const text = template.render(messages, { tools })
  const spans: Span[] = []
  messages.forEach((message, turn) => {
    if (message.role !== 'assistant') return
    const start = prefixLength(template, messages, turn, tools, text, true)
    const end =
      turn + 1 === messages.length ? text.length : prefixLength(template, messages, turn + 1, tools, text, false)
    if (start === undefined || end === undefined || end <= start) throw cannotTell(template, turn)
    spans.push([start, start + withoutTail(text.slice(start, end), endTokens)])
  })
  return { text, spans }
}

/** Length of the rendering of the first `count` messages, where the whole text begins with it. */
function prefixLength(
  template: ChatTemplate,
  messages: readonly Message[],
  count: number,
  tools: readonly unknown[] | undefined,
  text: string,
  addGenerationPrompt: boolean,
): number | undefined {
  let prefix: string
  try {
    prefix = template.render(messages.slice(0, count), { tools, addGenerationPrompt })
  } catch {
    return undefined // a template may refuse half a conversation
  }
  return text.startsWith(prefix) ? prefix.length : undefined
}

function withoutTail(turn: string, endTokens: ReadonlySet<string>): number {
  const trimmed = turn.trimEnd()
  for (const token of endTokens) if (trimmed.endsWith(token)) return trimmed.length
  return turn.length
}

function cannotTell(template: ChatTemplate, turn: number): LowrankError {
  return new LowrankError(
    'data',
    `message ${turn + 1} (assistant): the chat template in ${template.file} changes earlier text as turns are added, so this turn's tokens cannot be told`,
    {
      file: template.file,
      field: `messages[${turn}]`,
      suggestion: 'use a template with {% generation %} marks, or --train-on all',
    },
  )
}
