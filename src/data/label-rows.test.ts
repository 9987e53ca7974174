import { describe, expect, it } from 'vitest'
import { tinyTokenizer } from '../../test/setup/tiny-tokenizer.ts'
import { tinyWordpiece } from '../../test/setup/tiny-wordpiece.ts'
import type { HeadFacts } from './label-plan.ts'
import { type LoadDatasetOptions, loadDataset } from './load-dataset.ts'

const tokenizer = tinyWordpiece()
/** An encoder whose file has no head. */
const bare: HeadFacts = { task: 'embedding', labels: [], stands: false, settled: false }
const headed = (labels: string[]): HeadFacts => ({ task: 'classification', labels, stands: true, settled: false })

async function load(rows: object[], head: HeadFacts = bare, options: Partial<LoadDatasetOptions> = {}) {
  const base = { tokenizer, vocabSize: 60, maxLength: 64, trainOn: 'completion', tokenTypes: 2 } as const
  return await loadDataset({ ...base, sources: [rows], head, ...options })
}
const labelsOf = ({ dataset }: Awaited<ReturnType<typeof load>>): (number | undefined)[] =>
  [...dataset].map(({ labels }) => labels[0])

describe('rows with a label', () => {
  it('stand between what the tokenizer adds, the label at the first token', async () => {
    const { dataset, head, report } = await load([
      { text: 'good', label: 'yes' },
      { text: 'bad', label: 'no' },
    ])
    expect(head).toEqual({ task: 'classification', labels: ['no', 'yes'] })
    expect(report).toMatchObject({ format: 'classification', rows: 2, labelled: 2 })
    expect([...dataset.example(0).ids]).toEqual([2, 57, 3])
    expect([...dataset.example(0).labels]).toEqual([1, -100, -100])
    expect(dataset.example(0).types).toBeUndefined()
  })

  it('of two texts have the types of the tokenizer, where the model takes any', async () => {
    const rows = [
      { text: 'good', text_pair: 'bad rome', label: 0 },
      { text: 'bad', text_pair: 'good', label: 1 },
    ]
    const { dataset } = await load(rows)
    expect([...dataset.example(0).ids]).toEqual([2, 57, 3, 58, 59, 3])
    expect([...(dataset.example(0).types ?? [])]).toEqual([0, 0, 0, 1, 1, 1])
    expect((await load(rows, bare, { tokenTypes: 0 })).dataset.example(0).types).toBeUndefined()
    // The longer text is cut first.
    const { dataset: cut, report } = await load(rows, bare, { maxLength: 5 })
    expect([...cut.example(0).ids]).toEqual([2, 57, 3, 58, 3])
    expect(report.cut).toBe(1)
  })

  it('of words have a label at the first piece of each', async () => {
    const { dataset, head } = await load([{ tokens: ['Rome', 'is', 'good'], labels: ['B-LOC', 'O', -100] }])
    expect(head).toEqual({ task: 'token-classification', labels: ['B-LOC', 'O'] })
    expect([...dataset.example(0).ids]).toEqual([2, 59, 13, 49, 57, 3])
    expect([...dataset.example(0).labels]).toEqual([-100, 0, 1, -100, -100, -100])
  })

  it('of ids are taken as they stand, types too', async () => {
    const rows = [
      { input_ids: [2, 9, 3], token_type_ids: [0, 0, 1], label: 2 },
      { input_ids: [2, 3], label: 10 },
    ]
    const loaded = await load(rows, bare, { tokenizer: undefined })
    expect(loaded.head.labels).toEqual(['2', '10'])
    expect([...(loaded.dataset.example(0).types ?? [])]).toEqual([0, 0, 1])
    expect([...(loaded.dataset.example(1).types ?? [])]).toEqual([0, 0])
  })
})

describe('what labels mean', () => {
  const rows = (...labels: unknown[]): object[] => labels.map((label) => ({ text: 'a', label }))

  it('numbers by value, words by their characters, numbers that are not whole as themselves', async () => {
    expect((await load(rows(10, 9, 10))).head.labels).toEqual(['9', '10'])
    expect((await load(rows('b', 'a', 'B'))).head.labels).toEqual(['B', 'a', 'b'])
    const numbers = await load(rows(1, 2.5, 1))
    expect(numbers.head).toEqual({ task: 'regression', labels: ['LABEL_0'] })
    expect([...numbers.dataset].map(({ target }) => target)).toEqual([1, 2.5, 1])
    const asked = await load(rows(1, 2), { ...bare, asked: 'regression' })
    expect([...asked.dataset].map(({ target }) => target)).toEqual([1, 2])
  })

  it('the model’s own names, then its indices, where its head stands', async () => {
    const named = headed(['neg', 'neutral', 'pos'])
    expect(labelsOf(await load(rows('pos', 'neg'), named))).toEqual([2, 0])
    expect(labelsOf(await load(rows(2, 1, 0), named))).toEqual([2, 1, 0])
    const generic = await load(rows('x', 'y', 'x'), headed(['LABEL_0', 'LABEL_1']))
    expect(generic.head.labels).toEqual(['x', 'y'])
    expect(labelsOf(generic)).toEqual([0, 1, 0])
    const settled = { ...bare, task: 'classification', labels: ['1', '2'], settled: true } as const
    expect(labelsOf(await load(rows(2, 2, 1), settled))).toEqual([1, 1, 0])
  })

  it.each<[string, unknown[], HeadFacts, RegExp]>([
    ['one class', ['x', 'x'], bare, /every row has the label "x": there is nothing to tell apart/],
    ['one number', [1.5, 1.5], bare, /every row has the label 1.5: there is nothing to tell apart/],
    ['an index among names', ['pos', 0], headed(['neg', 'pos']), /rows:2: label is 0, a number, and those .* words/],
    [
      'numbers that are no classes, for a head of classes,',
      [0.5, 1.5],
      headed(['LABEL_0', 'LABEL_1']),
      /head is for classification with 2 outputs, and the rows are for regression/,
    ],
    ['a number among words', ['x', 'y', 3], bare, /rows:3: label is 3, a number, and those before it are words/],
    ['a word among numbers', [1, 2, 'x'], bare, /rows:3: label is "x", a word, and those before it are numbers/],
    [
      'a head of another size',
      ['x', 'y', 'z'],
      headed(['LABEL_0', 'LABEL_1']),
      /tells 2 labels apart .* the rows have 3/,
    ],
    ['an index beyond the head', [0, 1, 2], headed(['LABEL_0', 'LABEL_1']), /tells 2 labels apart/],
    ['a name the head lacks', ['pos', 'nex'], headed(['neg', 'pos']), /rows:2: label "nex" is none .* \(neg, pos\)/],
    [
      'numbers for a head of classes',
      [0.5, 1],
      { ...headed(['a', 'b', 'c']), asked: 'regression' },
      /head is for classification with 3 outputs/,
    ],
    [
      'a word where numbers are asked for',
      ['x', 'y'],
      { ...bare, asked: 'regression' },
      /rows:1: label is "x"; regression asks for numbers/,
    ],
    ['none', ['x', null], bare, /rows:2: label is missing/],
    ['an empty one', ['x', ''], bare, /rows:2: label is missing; a label is a word or a number/],
    ['a list', [[1], [2]], bare, /rows:1: label is \[1\]/],
  ])('%s is refused', async (_, labels, head, message) => {
    await expect(load(rows(...labels), head)).rejects.toThrow(message)
  })

  it('a mixture is words where that is asked for', async () => {
    expect((await load(rows('x', 3), { ...bare, asked: 'classification' })).head.labels).toEqual(['3', 'x'])
  })

  it('a label unseen in training is refused with its row and the nearest', async () => {
    const settled = { ...bare, task: 'classification', labels: ['good', 'bad'], settled: true } as const
    await expect(load(rows('good', 'goood'), settled)).rejects.toMatchObject({
      code: 'data',
      file: 'rows:2',
      suggestion: 'good',
    })
  })
})

describe('rows that cannot be', () => {
  it.each<[string, object[], Partial<LoadDatasetOptions>, RegExp]>([
    [
      'a pair with one text',
      [
        { text: 'a', text_pair: 'b', label: 0 },
        { text: 'a', label: 1 },
      ],
      {},
      /rows:2: text_pair is missing, and the rows before have two/,
    ],
    [
      'a pair with an empty text',
      [{ text: '', text_pair: 'b', label: 0 }],
      {},
      /text is missing: a pair has two texts/,
    ],
    ['a pair without a label', [{ text: 'a', text_pair: 'b' }], {}, /label is missing/],
    [
      'ids longer than the model',
      [{ input_ids: [2, 5, 6, 3], label: 0 }],
      { modelMaxLength: 3 },
      /has 4 tokens and the model reads at most 3/,
    ],
    [
      'an id beyond the vocabulary',
      [{ input_ids: [60], label: 0 }],
      {},
      /input_ids\[0\] is 60: not in the model's vocabulary of 60/,
    ],
    [
      'a tokenizer of another model',
      [{ text: 'z', label: 0 }],
      { tokenizer: tinyTokenizer() },
      /"z", a token of tiny.*, is 122: not in the model's vocabulary of 60/,
    ],
    ['fewer labels than words', [{ tokens: ['a', 'b'], labels: ['O'] }], {}, /labels has 1 entries, tokens has 2/],
    [
      'a text without a label',
      [{ text: 'a' }],
      {},
      /these rows have no label, and the model is no masked language model/,
    ],
    ['a prompt', [{ prompt: 'a', completion: 'b' }], {}, /reads a text as a whole and writes none/],
  ])('%s', async (_, rows, options, message) => {
    await expect(load(rows, bare, options)).rejects.toThrow(message)
  })

  it('texts longer than the model are cut, and counted', async () => {
    const { dataset, report } = await load(
      [
        { text: 'a b c d', label: 0 },
        { text: 'a', label: 1 },
      ],
      bare,
      { modelMaxLength: 4 },
    )
    expect([...dataset.example(0).ids]).toEqual([2, 5, 6, 3])
    expect(report.cut).toBe(1)
  })
})
