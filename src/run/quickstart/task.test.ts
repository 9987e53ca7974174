import { describe, expect, it } from 'vitest'
import { exactMatch, orderRows } from './task.ts'
import { values } from './values.ts'

const wordsOf = (list: readonly string[]): string[] => list.flatMap((entry) => entry.toLowerCase().split(/\W+/))

describe('the quickstart task', () => {
  it('shares no word and no amount between training and measuring', () => {
    const { train, heldout } = values
    for (const field of ['firstNames', 'surnames', 'kinds', 'goods', 'towns'] as const) {
      const seen = new Set(wordsOf(train[field]))
      expect(wordsOf(heldout[field]).filter((word) => seen.has(word))).toEqual([])
      expect(new Set(train[field]).size).toBe(train[field].length)
    }
    expect(heldout.amounts.filter((n) => train.amounts.includes(n))).toEqual([])
    expect(train.amounts.length + heldout.amounts.length).toBe(98)
  })

  it('makes the same rows for the same seed, all different, and others for another', () => {
    const rows = orderRows('train', 500, 1)
    expect(orderRows('train', 500, 1)).toEqual(rows)
    expect(orderRows('train', 500, 2)).not.toEqual(rows)
    expect(new Set(rows.map(({ prompt }) => prompt)).size).toBe(500)
  })

  it('asks for JSON whose every value stands in the prompt, word for word', () => {
    for (const { prompt, completion } of orderRows('heldout', 300, 3)) {
      const order: unknown = JSON.parse(completion)
      expect(Object.keys(order as object)).toEqual(['name', 'item', 'quantity', 'city'])
      for (const value of Object.values(order as object)) expect(prompt).toContain(String(value))
      expect(prompt.endsWith(' ->')).toBe(true)
    }
  })

  it('shows no held-out word in training, spliced ones included', () => {
    const seen = new Set(orderRows('train', 4000, 42).flatMap(({ completion }) => completion.match(/\w+/g) ?? []))
    const { firstNames, surnames, kinds, goods, towns, amounts } = values.heldout
    const words = [firstNames, surnames, kinds, goods, towns].flat().flatMap((entry) => entry.split(' '))
    expect([...words, ...amounts.map(String)].filter((word) => seen.has(word))).toEqual([])
  })

  it('counts answers that are right to the character', () => {
    const rows = orderRows('heldout', 4, 1)
    const answers = rows.map(({ completion }) => completion)
    expect(exactMatch(rows, answers)).toBe(1)
    expect(exactMatch(rows, [`${answers[0]}\n`, `${answers[1]}}`, '', answers[3] ?? ''])).toBe(0.5)
    expect(exactMatch(rows, [])).toBe(0)
  })
})
