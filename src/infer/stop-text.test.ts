/** @file Stop strings in text that comes in pieces. */
import { describe, expect, it } from 'vitest'
import { RandomStream } from '../support/random.ts'
import { StopText } from './stop-text.ts'

function through(stops: readonly string[], pieces: readonly string[]): { given: string[]; stopped: boolean } {
  const stream = new StopText(stops)
  const given = pieces.map((piece) => stream.push(piece))
  return { given: [...given, stream.end()], stopped: stream.stopped }
}

describe('stop strings', () => {
  it('gives text at once where none can begin', () => {
    expect(through(['###'], ['one ', 'two'])).toEqual({ given: ['one ', 'two', ''], stopped: false })
    expect(through([], ['a#', 'b'])).toEqual({ given: ['a#', 'b', ''], stopped: false })
  })

  it('holds back an end that may grow into one, and gives it when it does not', () => {
    expect(through(['###'], ['a#', '#', 'b'])).toEqual({ given: ['a', '', '##b', ''], stopped: false })
    expect(through(['###'], ['a##'])).toEqual({ given: ['a', '##'], stopped: false })
  })

  it('cuts before the one that comes first, across pieces', () => {
    expect(through(['END', '\n\n'], ['x E', 'N', 'D y'])).toEqual({ given: ['x ', '', '', ''], stopped: true })
    expect(through(['END', 'D'], ['END'])).toEqual({ given: ['', ''], stopped: true })
    expect(through(['aab'], ['aaab', 'c'])).toEqual({ given: ['a', '', ''], stopped: true })
    expect(through([''], ['abc'])).toEqual({ given: ['abc', ''], stopped: false })
  })

  it('gives the same however the text is cut', () => {
    const random = new RandomStream(3, 'test')
    for (let round = 0; round < 300; round++) {
      const text = Array.from({ length: 12 }, () => 'ab'[random.below(2)]).join('')
      const stops = ['abba', 'bbb'].slice(0, 1 + random.below(2))
      const cut = random.below(13)
      const at = Math.min(...stops.map((stop) => text.indexOf(stop)).filter((i) => i >= 0), text.length)
      const { given, stopped } = through(stops, [text.slice(0, cut), ...text.slice(cut)])
      expect(given.join('')).toBe(text.slice(0, at))
      expect(stopped).toBe(at < text.length)
    }
  })
})
