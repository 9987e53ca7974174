/**
 * @file Lets the base, with or without an adapter, answer rows that were kept aside. Must not know training or terminals.
 */
import { Generator } from '../../infer/generator.ts'
import { invariant } from '../../support/errors.ts'
import { generatorParts } from '../generate.ts'
import { type EngineSettings, openEngineFor, openForUse } from '../open-for-use.ts'
import type { OrderRow } from './task.ts'

/** More than the longest completion has, so that only an answer that never ends is cut. */
const MAX_TOKENS = 96
/** Rows answered together. */
const BATCH = 25

export interface MeasureOptions {
  readonly model: string
  /** Run folder whose adapter acts; none: the base as it is. */
  readonly adapter?: string
  readonly engine: EngineSettings
  readonly signal?: AbortSignal | undefined
}

/** Greedy answers to the rows, in their order. @throws LowrankError `stopped` once aborted */
export async function answer(rows: readonly OrderRow[], options: MeasureOptions): Promise<string[]> {
  const { model, adapter, engine: settings, signal } = options
  const open = await openForUse({ model, ...(adapter === undefined ? {} : { adapter: [adapter] }) })
  const { tokenizer, uses } = open
  invariant(tokenizer, 'the embedded base has a tokenizer')
  const { engine, threads } = await openEngineFor(settings)
  const generator = new Generator({ ...generatorParts(open), engine, threads, batchSize: BATCH })
  try {
    const requests = rows.map(({ prompt }) => ({
      ids: tokenizer.encodeStart(prompt),
      maxTokens: MAX_TOKENS,
      adapters: uses,
    }))
    return (await generator.run(requests, { signal })).map(({ text }) => text)
  } finally {
    await generator.dispose()
    await engine.dispose()
  }
}
