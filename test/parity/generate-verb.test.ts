/** @file `generate` as a library call on a trained model: events, text, stop strings, adapters by name. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { GenerateOptions } from '../../src/config/verbs/index.ts'
import { generate } from '../../src/run/generate.ts'
import type { GenerateResult } from '../../src/run/types.ts'
import { sharedPath } from '../setup/shared.ts'

const stories = sharedPath('data', 'models', 'stories260K')
const cases = process.env.LOWRANK_CASES ?? sharedPath('conformance', 'cases')

async function run(
  options: GenerateOptions & { signal?: AbortSignal },
): Promise<GenerateResult & { streamed: string }> {
  let streamed = ''
  const events = generate(options)
  for (;;) {
    const next = await events.next()
    if (next.done) return { ...next.value, streamed }
    if (next.value.type === 'token') streamed += next.value.text
  }
}

describe.skipIf(stories === undefined)('generate', () => {
  const model = stories ?? ''
  const prompt = 'Once upon a time'

  it('streams the text of its result, and stops before a stop string', async () => {
    const whole = await run({ model, prompt, maxTokens: 60 })
    expect(whole.streamed).toBe(whole.text)
    expect(whole.text).toMatch(/^, there was a little girl named Lily\./)
    const cut = await run({ model, prompt, maxTokens: 60, stop: ['park'] })
    expect(cut).toMatchObject({ finishReason: 'stop', streamed: cut.text })
    expect(cut.text).toBe(whole.text.slice(0, whole.text.indexOf('park')))
    expect(cut.ids).toEqual(whole.ids.slice(0, cut.ids.length))
  })

  it('takes ids, and gives the same from the same seed only', async () => {
    const { prompt_ids }: { prompt_ids: number[] } = JSON.parse(readFileSync(join(model, 'reference.json'), 'utf8'))
    const sampled = (seed: number) => run({ model, ids: prompt_ids, maxTokens: 24, temperature: 1, topP: 0.95, seed })
    const [first, again, other] = [await sampled(1), await sampled(1), await sampled(2)]
    expect(again.ids).toEqual(first.ids)
    expect(other.ids).not.toEqual(first.ids)
  })

  it('refuses an empty call, an unknown folder, and ends when it is aborted', async () => {
    await expect(run({ model })).rejects.toMatchObject({ code: 'usage' })
    await expect(run({ model: `${model}-none`, prompt })).rejects.toMatchObject({ code: 'missing' })
    await expect(run({ model, prompt, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'stopped' })
    await expect(run({ model, prompt, adapter: ['a=nowhere'] })).rejects.toMatchObject({ code: 'missing' })
  })
})

describe.skipIf(cases === undefined)('generate with adapters', () => {
  const path = (...parts: string[]): string => join(cases ?? '', ...parts)

  it('adds adapters by weight: two halves are the whole, and weight 0 is the base', async () => {
    const model = path('llama', 'model')
    const { prompt_ids, greedy_ids } = JSON.parse(readFileSync(path('llama', 'golden.json'), 'utf8'))
    const ids = (...adapter: string[]): Promise<number[]> =>
      run({ model, ...(adapter.length > 0 ? { adapter } : {}), ids: prompt_ids, maxTokens: 24, ignoreEos: true }).then(
        (result) => result.ids,
      )
    const folder = path('llama', 'adapter')
    expect(await ids(`a=${folder}:0.5`, `b=${folder}:0.5`)).toEqual(greedy_ids)
    expect(await ids(`a=${folder}:0`)).toEqual(await ids())
    expect(await ids()).not.toEqual(greedy_ids)
  })

  it('says that an adapter was made for another base', async () => {
    const foreign = run({ model: path('gpt2', 'model'), adapter: [path('llama', 'adapter')], ids: [1] })
    await expect(foreign).rejects.toMatchObject({ file: path('llama', 'adapter') })
  })
})
