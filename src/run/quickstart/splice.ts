/**
 * @file Words nobody has seen, made of the front of one and the back of another: an adapter that meets them cannot learn
 * its answers by heart and has to copy. Must not know the task.
 */
import type { RandomStream } from '../../support/random.ts'

const VOWELS = 'aeiou'
const CONSONANTS = 'bcdfghjklmnprstvwz'
/** Share of letters that are drawn anew. */
const CHANGED = 0.15

/**
 * Splices two entries of `list` (`Camila` + `Robert` → `Cambert`) and changes a letter here and there, vowels to vowels;
 * upper case stays where it was.
 *
 * @param taken words that must not come out
 */
export function splice(random: RandomStream, list: readonly string[], taken: ReadonlySet<string>): string {
  const pick = (): string => list[random.below(list.length)] ?? ''
  for (;;) {
    const [front, back] = [pick(), pick()]
    const head = front.slice(0, 1 + random.below(Math.min(4, front.length - 1)))
    const tail = back.slice(-(2 + random.below(Math.max(1, Math.min(5, back.length - 2)))))
    const word = (head + tail).replace(/[a-z]/gi, (letter) =>
      random.uniform() < CHANGED ? redraw(random, letter) : letter,
    )
    if (!taken.has(word)) return word
  }
}

function redraw(random: RandomStream, letter: string): string {
  const kind = VOWELS.includes(letter.toLowerCase()) ? VOWELS : CONSONANTS
  const drawn = kind.charAt(random.below(kind.length))
  return letter === letter.toLowerCase() ? drawn : drawn.toUpperCase()
}
