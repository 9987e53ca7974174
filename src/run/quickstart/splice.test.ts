import { expect, it } from 'vitest'
import { RandomStream } from '../../support/random.ts'
import { splice } from './splice.ts'

const names = ['Camila', 'Robert', 'Ivan']

it('makes many words of a few, each with the case of its first letter kept', () => {
  const random = new RandomStream(1, 'splice')
  const made = Array.from({ length: 200 }, () => splice(random, names, new Set()))
  expect(new Set(made).size).toBeGreaterThan(60)
  for (const word of made) expect(word).toMatch(/^[A-Z][a-z]{2,}$/)
  // Most ends are those of a word of the list: letters change only here and there.
  const known = made.filter((word) => names.some((name) => name.endsWith(word.slice(-2))))
  expect(known.length).toBeGreaterThan(100)
  expect(known.length).toBeLessThan(200)
  const lower = Array.from({ length: 50 }, () => splice(random, ['benches', 'mugs'], new Set()))
  expect(lower.every((word) => /^[a-z]+$/.test(word))).toBe(true)
})

it('never makes a word that is taken', () => {
  const random = new RandomStream(2, 'splice')
  const free = new Set(Array.from({ length: 300 }, () => splice(random, names, new Set())))
  const taken = new Set([...free].slice(0, free.size / 2))
  for (let i = 0; i < 300; i++) expect(taken.has(splice(random, names, taken))).toBe(false)
})
