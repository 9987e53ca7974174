/**
 * @file What the trained model writes for a few prompts of its data, for the report. Must not know the training loop.
 */
import type { Dataset } from '../../data/dataset.ts'
import { type Example, NO_LABEL } from '../../data/example.ts'
import type { Engine } from '../../engine/engine.ts'
import { Generator } from '../../infer/generator.ts'
import type { GenerationRequest } from '../../infer/request.ts'
import type { Tokenizer } from '../../text/tokenizer.ts'
import { generatorParts } from '../generate.ts'
import { openForUse } from '../open-for-use.ts'
import type { Sample } from '../report/data.ts'

/** Longest prompt and answer shown: a report is read, and a run should end. */
const MAX_PROMPT = 256
const MAX_ANSWER = 64
/** Above this many parameters the base is not asked too: what it writes costs as much again. */
const BEFORE_LIMIT = 100e6

export interface SampleRequest {
  /** Run folder with the finished adapter or model. */
  readonly output: string
  /** Base folder of an adapter; absent where the run folder is the model. */
  readonly base?: string
  readonly dataset: Dataset
  readonly tokenizer: Tokenizer
  readonly engine: Engine
  readonly threads?: number | undefined
  readonly count: number
  /** Parameters of the whole model. */
  readonly parameters: number
  readonly signal?: AbortSignal | undefined
}

/** Greedy answers to prompts spread over the data, with what the data has there. */
export async function sampleGenerations(request: SampleRequest): Promise<Sample[]> {
  const { output, base, dataset, tokenizer, engine, threads, signal } = request
  const prompts = choosePrompts(dataset, request.count)
  if (prompts.length === 0) return []
  const open = await openForUse(base === undefined ? { model: output } : { model: base, adapter: [output] }, { signal })
  const generator = new Generator({ ...generatorParts(open), tokenizer, engine, threads })
  try {
    const ask = async (adapters: GenerationRequest['adapters']): Promise<string[]> => {
      const requests = prompts.map(({ ids, room }) => ({ ids, maxTokens: room, adapters }))
      return (await generator.run(requests, { signal })).map(({ text }) => text)
    }
    const after = await ask(open.uses)
    const before = base !== undefined && request.parameters <= BEFORE_LIMIT ? await ask([]) : undefined
    return prompts.map(({ ids, wanted }, i) => ({
      prompt: tokenizer.decode(ids),
      text: (after[i] ?? '').trim(),
      expected: tokenizer.decode(wanted).trim(),
      ...(before === undefined ? {} : { before: (before[i] ?? '').trim() }),
    }))
  } finally {
    await generator.dispose()
  }
}

interface Prompt {
  ids: number[]
  /** What the data has next. */
  wanted: number[]
  /** New tokens allowed. */
  room: number
}

/** Prompts spread evenly over the rows; rows whose prompt is too long or empty are passed over. */
export function choosePrompts(dataset: Dataset, count: number): Prompt[] {
  const chosen: Prompt[] = []
  const stride = Math.max(1, Math.floor(dataset.length / Math.max(1, count)))
  for (let i = 0; i < dataset.length && chosen.length < count; i += stride) {
    const prompt = promptOf(dataset.example(i))
    if (prompt !== undefined) chosen.push(prompt)
  }
  return chosen
}

/** What stands before the first label; of a text in which everything has loss, its first third. */
function promptOf({ ids, labels }: Example): Prompt | undefined {
  const first = labels.findIndex((label, t) => t > 0 && label !== NO_LABEL)
  if (first < 0) return undefined
  const whole = first <= 1
  const cut = whole ? Math.min(Math.ceil(ids.length / 3), 32) : first
  if (cut < 1 || cut > MAX_PROMPT || cut >= ids.length) return undefined
  const end = labels.subarray(cut).indexOf(NO_LABEL)
  const wanted = [...ids.subarray(cut, end < 0 ? ids.length : cut + end)].slice(0, MAX_ANSWER)
  // An answer gets a little more room than it needs, so that one that does not end is seen not to.
  return { ids: [...ids.subarray(0, cut)], wanted, room: Math.min(MAX_ANSWER, wanted.length + 8) }
}
