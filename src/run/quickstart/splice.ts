/**
 * @file Words nobody has seen, made of the front of one and the back of another: an adapter that meets them cannot learn
 * its answers by heart and has to copy. Must not know the task.
 */
import type { RandomStream } from '../../support/random.ts'

const LETTERS = 'abcdefghijklmnoprstuvwz'

/**
 * Splices two entries of `list` (`Camila` + `Robert` → `Cambert`), now and then behind another first letter; upper case
 * stays where it was.
 *
 * @param taken words that must not come out
 */
export function splice(random: RandomStream, list: readonly string[], taken: ReadonlySet<string>): string {
  const pick = (): string => list[random.below(list.length)] ?? ''
  for (;;) {
    const [front, back] = [pick(), pick()]
    const head = front.slice(0, 1 + random.below(Math.min(4, front.length - 1)))
    const tail = back.slice(-(2 + random.below(Math.max(1, Math.min(5, back.length - 2)))))
    const word = random.uniform() < 0.3 ? refirst(random, head) + tail : head + tail
    if (!taken.has(word)) return word
  }
}

function refirst(random: RandomStream, head: string): string {
  const letter = LETTERS.charAt(random.below(LETTERS.length))
  const upper = head.charAt(0) !== head.charAt(0).toLowerCase()
  return (upper ? letter.toUpperCase() : letter) + head.slice(1)
}
