/**
 * @file Work that reports through callbacks, as an async generator: events come out as they happen, the result at the end.
 * Must not know what the work is.
 */

/**
 * Runs `work`; whatever it passes to `emit` is yielded in order, and its result is the generator's return value. Closing
 * the generator early aborts the signal that `work` is given and waits for it to end.
 */
export async function* eventsOf<E, R>(
  work: (emit: (event: E) => void, signal: AbortSignal) => Promise<R>,
  outer?: AbortSignal,
): AsyncGenerator<E, R> {
  const closing = new AbortController()
  const signal = outer ? AbortSignal.any([outer, closing.signal]) : closing.signal
  const queue: E[] = []
  let wake = (): void => {}
  let ended = false
  const running = work((event) => {
    queue.push(event)
    wake()
  }, signal)
  const end = (): void => {
    ended = true
    wake()
  }
  running.then(end, end)
  try {
    for (;;) {
      for (let event = queue.shift(); event !== undefined; event = queue.shift()) yield event
      if (ended) return await running
      await new Promise<void>((resolve) => {
        wake = resolve
        if (queue.length > 0 || ended) resolve()
      })
    }
  } finally {
    if (!ended) {
      closing.abort()
      await running.catch(() => {})
    }
  }
}
