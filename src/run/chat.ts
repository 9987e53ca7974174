/**
 * @file `chat`: a conversation that keeps its model loaded. With the model's chat template turns add up; a model without
 * one continues each turn by itself. Must not know a terminal.
 */
import { resolveOptions } from '../config/resolve.ts'
import type { ChatOptions, ChatSettings } from '../config/verbs/index.ts'
import { Generator } from '../infer/generator.ts'
import { LowrankError } from '../support/errors.ts'
import type { Message } from '../text/chat-template.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { eventsOf } from './events.ts'
import { generateOne, generatorParts, requestOf } from './generate.ts'
import { openEngineFor, openForUse } from './open-for-use.ts'
import type { ChatSession, GenerateEvent, GenerateResult, NoticeEvent, ProgressEvent, Stoppable } from './types.ts'

export interface ChatCallbacks {
  /** Told while the model is found and loaded. */
  onProgress?: (event: NoticeEvent | ProgressEvent) => void
}

/**
 * Opens a conversation. The caller disposes it.
 * @throws LowrankError as `generate`; `usage` for a system message where the model has no chat template.
 */
export async function openChat(options: ChatOptions & Stoppable & ChatCallbacks): Promise<ChatSession> {
  const settings = resolveOptions('chat', options)
  const onEvent = options.onProgress
  const open = await openForUse(settings, { signal: options.signal, onEvent })
  const conversation = createConversation(settings, open.tokenizer)
  if (open.tokenizer?.chatTemplate === undefined)
    onEvent?.({ type: 'notice', message: 'the model has no chat template: it continues each line by itself' })
  const { engine, threads } = await openEngineFor(settings)
  const generator = new Generator({ ...generatorParts(open), engine, threads })
  const longest = open.base.model.config.maxPositions
  return {
    send: (text, { signal } = {}) =>
      eventsOf<GenerateEvent, GenerateResult>(async (emit, stop) => {
        const { ids, forgotten } = conversation.ask(text, longest - Math.min(settings.maxTokens, longest >> 1))
        if (forgotten > 0) emit({ type: 'notice', message: `${forgotten} early turns no longer fit and are forgotten` })
        const request = { ...requestOf(settings), ids, adapters: open.uses }
        const result = await generateOne(generator, request, emit, stop)
        conversation.answered(text, result.text)
        return result
      }, signal),
    clear: conversation.clear,
    async dispose() {
      await generator.dispose()
      await engine.dispose()
    },
  }
}

/** Turns, and how the next one is put to the model. */
export interface Conversation {
  /** Ids that begin the answer to `text`, at most `room` where forgetting early turns can do that. */
  ask(text: string, room: number): { ids: number[]; forgotten: number }
  answered(text: string, answer: string): void
  clear(): void
}

export function createConversation(
  { system }: Pick<ChatSettings, 'system'>,
  tokenizer: Tokenizer | undefined,
): Conversation {
  if (tokenizer === undefined)
    throw new LowrankError('missing', 'chat needs a tokenizer, and the model folder has no tokenizer.json', {
      field: 'tokenizer',
      suggestion: 'name one with --tokenizer',
    })
  const template = tokenizer.chatTemplate
  if (template === undefined && system !== undefined)
    throw new LowrankError('usage', 'a system message needs a chat template, and the model has none', {
      field: 'system',
    })
  const opening: Message[] = system === undefined ? [] : [{ role: 'system', content: system }]
  let turns: Message[] = []
  const idsOf = (text: string): number[] => {
    if (template === undefined) return tokenizer.encodeStart(text)
    const rendered = template.render([...opening, ...turns, { role: 'user', content: text }], {
      addGenerationPrompt: true,
    })
    // The template writes BOS itself where the model wants one.
    return tokenizer.encode(rendered, { addSpecialTokens: false })
  }
  return {
    ask(text, room) {
      let ids = idsOf(text)
      let forgotten = 0
      while (ids.length > room && turns.length > 0) {
        turns = turns.slice(2)
        forgotten += 2
        ids = idsOf(text)
      }
      return { ids, forgotten }
    },
    answered(text, answer) {
      if (template !== undefined)
        turns = [...turns, { role: 'user', content: text }, { role: 'assistant', content: answer }]
    },
    clear() {
      turns = []
    },
  }
}
