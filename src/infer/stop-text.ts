/**
 * @file Text as it comes, cut before the first stop string: an end that might still grow into one is held back.
 * Must not know tokens.
 */

export class StopText {
  readonly #stops: readonly string[]
  #held = ''
  #stopped = false

  /** @param stops texts to end before; empty ones are ignored */
  constructor(stops: readonly string[] = []) {
    this.#stops = stops.filter((stop) => stop !== '')
  }

  /** Whether a stop string was found; nothing is given out after it. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Takes more text and gives what is certain. */
  push(text: string): string {
    if (this.#stopped) return ''
    this.#held += text
    const at = Math.min(...this.#stops.map((stop) => this.#held.indexOf(stop)).filter((found) => found >= 0))
    if (Number.isFinite(at)) {
      this.#stopped = true
      return this.#take(at)
    }
    return this.#take(this.#held.length - this.#tail())
  }

  /** No more text comes: gives the rest. */
  end(): string {
    return this.#stopped ? '' : this.#take(this.#held.length)
  }

  #take(length: number): string {
    const text = this.#held.slice(0, length)
    this.#held = this.#held.slice(length)
    return text
  }

  /** Length of the longest end of the held text that begins a stop string. */
  #tail(): number {
    let longest = 0
    for (const stop of this.#stops)
      for (let n = Math.min(stop.length - 1, this.#held.length); n > longest; n--)
        if (this.#held.endsWith(stop.slice(0, n))) longest = n
    return longest
  }
}
