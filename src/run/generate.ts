/**
 * @file `generate`: text from a model with or without adapters. Must not know a terminal.
 */
import { resolveOptions } from '../config/resolve.ts'
import type { GenerateOptions, GenerateSettings } from '../config/verbs/index.ts'
import { Generator } from '../infer/generator.ts'
import type { GenerationRequest } from '../infer/request.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { eventsOf } from './events.ts'
import { type OpenForUse, openEngineFor, openForUse } from './open-for-use.ts'
import type { GenerateEvent, GenerateResult, Stoppable } from './types.ts'

/**
 * Continues a prompt. Text comes as `token` events as soon as it is certain; the result is the generator's return value.
 * @throws LowrankError `usage`, `missing`, `format`, `config`, naming file and field; `numeric`; `stopped`
 */
export async function* generate(options: GenerateOptions & Stoppable): AsyncGenerator<GenerateEvent, GenerateResult> {
  const settings = resolveOptions('generate', options)
  return yield* eventsOf<GenerateEvent, GenerateResult>(async (emit, signal) => {
    const open = await openForUse(settings, { signal, onEvent: emit })
    const request = { ...requestOf(settings), ids: promptIds(settings, open.tokenizer), adapters: open.uses }
    const { engine, threads } = await openEngineFor(settings)
    const generator = new Generator({ ...generatorParts(open), engine, threads })
    try {
      return await generateOne(generator, request, emit, signal)
    } finally {
      await generator.dispose()
      await engine.dispose()
    }
  }, options.signal)
}

/** The parts of a generator that an opened model gives. */
export function generatorParts({ base, adapters, tokenizer, eosIds }: OpenForUse): {
  model: OpenForUse['base']['model']
  weights: OpenForUse['base']['weights']
  adapters: OpenForUse['adapters']
  tokenizer: Tokenizer | undefined
  eosIds: readonly number[]
} {
  const { spec, raw, modelType } = base.model
  if (spec.task !== 'causal-lm')
    throw new LowrankError('unsupported', `${raw.file}: ${modelType} reads a text as a whole and writes none`, {
      file: raw.file,
      field: 'model_type',
      suggestion: 'use a decoder such as llama or qwen2',
    })
  return { model: base.model, weights: base.weights, adapters, tokenizer, eosIds }
}

/** What `generate` and `chat` share of a request. */
export function requestOf(
  settings: Pick<
    GenerateSettings,
    'maxTokens' | 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty' | 'seed' | 'stop' | 'ignoreEos'
  >,
): Omit<GenerationRequest, 'ids'> {
  const { maxTokens, stop, ignoreEos, temperature, topK, topP, minP, repetitionPenalty, seed } = settings
  return { maxTokens, stop, ignoreEos, sampling: { temperature, topK, topP, minP, repetitionPenalty, seed } }
}

/** One request to its result, its text told as it comes. */
export async function generateOne(
  generator: Generator,
  request: GenerationRequest,
  emit: (event: GenerateEvent) => void,
  signal: AbortSignal,
): Promise<GenerateResult> {
  const pieces = generator.stream([request], { signal })
  for (;;) {
    const next = await pieces.next()
    if (next.done) {
      const [result] = next.value
      invariant(result, 'a request without its result')
      return result
    }
    emit({ type: 'token', text: next.value.text })
  }
}

/** Ids of the prompt that settings name. */
export function promptIds({ prompt, ids }: GenerateSettings, tokenizer: Tokenizer | undefined): readonly number[] {
  if (ids !== undefined) return ids
  if (!tokenizer)
    throw new LowrankError('missing', 'a prompt needs a tokenizer, and the model folder has no tokenizer.json', {
      field: 'tokenizer',
      suggestion: 'name one with --tokenizer, or give the prompt as ids',
    })
  const encoded = tokenizer.encodeStart(prompt ?? '')
  if (encoded.length > 0) return encoded
  if (tokenizer.bosId !== undefined) return [tokenizer.bosId]
  throw new LowrankError('usage', 'the prompt is empty, and the tokenizer has no token to begin a text with', {
    field: 'prompt',
  })
}
