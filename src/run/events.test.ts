/** @file Callbacks as an async generator: order, results, errors, and consumers that leave early. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { eventsOf } from './events.ts'

async function collect<E, R>(events: AsyncGenerator<E, R>): Promise<{ seen: E[]; result: R }> {
  const seen: E[] = []
  for (;;) {
    const next = await events.next()
    if (next.done) return { seen, result: next.value }
    seen.push(next.value)
  }
}

describe('events of work', () => {
  it('come in order, with the result at the end', async () => {
    const events = eventsOf<number, string>(async (emit) => {
      emit(0)
      emit(1)
      await sleep(1)
      emit(2)
      return 'done'
    })
    expect(await collect(events)).toEqual({ seen: [0, 1, 2], result: 'done' })
  })

  it('come before the error that ends the work', async () => {
    const events = eventsOf<number, never>(async (emit) => {
      emit(7)
      throw new Error('broken')
    })
    expect(await events.next()).toEqual({ done: false, value: 7 })
    await expect(events.next()).rejects.toThrow('broken')
  })

  it('abort the work when their consumer leaves, and wait for it to end', async () => {
    let ended = false
    const events = eventsOf<number, void>(async (emit, signal) => {
      emit(1)
      while (!signal.aborted) await sleep(1)
      await sleep(5)
      ended = true
    })
    for await (const _ of events) break
    expect(ended).toBe(true)
  })

  it('hand the caller’s signal on', async () => {
    const controller = new AbortController()
    const events = eventsOf<number, string>(async (emit, signal) => {
      emit(1)
      while (!signal.aborted) await sleep(1)
      return 'stopped'
    }, controller.signal)
    await events.next()
    controller.abort()
    expect(await events.next()).toEqual({ done: true, value: 'stopped' })
  })
})
