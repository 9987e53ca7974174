import { expect, it } from 'vitest'
import { RandomStream } from '../../support/random.ts'
import { splice } from './splice.ts'

const names = ['Camila', 'Robert', 'Ivan']

it('joins the front of one word to the back of another and keeps the first letter as it was written', () => {
  const random = new RandomStream(1, 'splice')
  const made = Array.from({ length: 200 }, () => splice(random, names, new Set()))
  expect(new Set(made).size).toBeGreaterThan(60)
  for (const word of made) {
    expect(word).toMatch(/^[A-Z][a-z]{2,}$/)
    expect(names.some((name) => name.endsWith(word.slice(-2)))).toBe(true)
  }
  const lower = Array.from({ length: 50 }, () => splice(random, ['benches', 'mugs'], new Set()))
  expect(lower.every((word) => /^[a-z]+$/.test(word))).toBe(true)
})

it('never makes a word that is taken', () => {
  const random = new RandomStream(2, 'splice')
  const free = new Set(Array.from({ length: 300 }, () => splice(random, names, new Set())))
  const taken = new Set([...free].slice(0, free.size / 2))
  for (let i = 0; i < 300; i++) expect(taken.has(splice(random, names, taken))).toBe(false)
})
