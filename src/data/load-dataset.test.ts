import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sharedPath } from '../../test/setup/shared.ts'
import { MARKED_TEMPLATE, PLAIN_TEMPLATE, tinyTokenizer } from '../../test/setup/tiny-tokenizer.ts'
import { splitDataset } from './dataset.ts'
import { NO_LABEL } from './example.ts'
import { type LoadDatasetOptions, loadDataset } from './load-dataset.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-data-'))
})
afterAll(() => rm(folder, { recursive: true }))

const plain = tinyTokenizer()
const withBos = tinyTokenizer({ addBos: true })
const defaults = { tokenizer: plain, vocabSize: 263, maxLength: 1024, trainOn: 'completion' } as const

async function load(content: string | Uint8Array, options: Partial<LoadDatasetOptions> = {}, name = 'rows.jsonl') {
  const file = join(folder, name)
  await writeFile(file, content)
  return loadDataset({ ...defaults, sources: [file], ...options })
}
function lines(...rows: object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('')
}
/** What an example trains on, and what it reads. */
function seen(loaded: Awaited<ReturnType<typeof load>>, index = 0, tokenizer = plain): [read: string, learned: string] {
  const { ids, labels } = loaded.dataset.example(index)
  const text = (ids: Int32Array) => tokenizer.decode(ids, { skipSpecialTokens: false })
  return [text(ids), text(labels.filter((label) => label !== NO_LABEL))]
}

describe('text rows', () => {
  it('end with EOS, once, and begin with BOS where the tokenizer adds it, once', async () => {
    const rows = lines({ text: 'the' }, { text: 'the<|eos|>' }, { text: '<|bos|>the' })
    const bare = await load(rows)
    expect([0, 1, 2].map((i) => seen(bare, i)[0])).toEqual(['the<|eos|>', 'the<|eos|>', '<|bos|>the<|eos|>'])
    const begun = await load(rows, { tokenizer: withBos })
    expect([0, 1, 2].map((i) => seen(begun, i))).toEqual(Array(3).fill(Array(2).fill('<|bos|>the<|eos|>')))
    expect(begun.report).toMatchObject({ format: 'text', rows: 3, tokens: 12, labelled: 9, longest: 4, cut: 0 })
  })

  it('are cut to the maximal length, and counted', async () => {
    const loaded = await load(lines({ text: 'abcdef' }, { text: 'ab' }), { maxLength: 4 })
    expect([seen(loaded, 0)[0], seen(loaded, 1)[0]]).toEqual(['abcd', 'ab<|eos|>'])
    expect(loaded.report).toMatchObject({ cut: 1, tokens: 7, labelled: 5 })
  })
})

describe('prompt–completion rows', () => {
  const rows = lines({ prompt: 't', completion: 'he' })
  it('learn the completion and its end; the two are tokenized apart', async () => {
    const loaded = await load(rows, { tokenizer: withBos })
    expect(seen(loaded)).toEqual(['<|bos|>the<|eos|>', 'he<|eos|>'])
    expect(Array.from(loaded.dataset.example(0).ids)).toEqual([258, 116, 256, 259])
  })
  it('learn everything on request', async () => {
    expect(seen(await load(rows, { trainOn: 'all' }))[1]).toBe('the<|eos|>')
  })
  it('are left out, and counted, where nothing is left to learn', async () => {
    const loaded = await load(lines({ prompt: 'abcdef', completion: 'g' }, { prompt: 'a', completion: 'b' }), {
      maxLength: 5,
    })
    expect(loaded.report).toMatchObject({ rows: 1, unlabelled: 1, cut: 1 })
    expect(loaded.dataset.example(0).place).toBe(1)
  })
})

describe('messages rows', () => {
  const messages = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: 'yo' },
    { role: 'user', content: 'u' },
    { role: 'assistant', content: 'v' },
  ]
  it.each([
    ['marks', MARKED_TEMPLATE],
    ['growing prefixes', PLAIN_TEMPLATE],
  ])('learn every assistant turn and its end: %s', async (_name, chatTemplate) => {
    const loaded = await load(lines({ messages }), { tokenizer: tinyTokenizer({ addBos: true, chatTemplate }) })
    const turn = (m: { role: string; content: string }) => `<|im_start|>${m.role}\n${m.content}<|im_end|>\n`
    expect(seen(loaded)).toEqual([messages.map(turn).join(''), 'yo<|im_end|>v<|im_end|>'])
  })
  it('name the turn that cannot be told, with file and line', async () => {
    const hides = `{% for m in messages %}[{{ m.role }}]{{ m.content if loop.last else 'x' }}{% endfor %}`
    await expect(load(lines({ messages }), { tokenizer: tinyTokenizer({ chatTemplate: hides }) })).rejects.toThrow(
      /rows\.jsonl:1: message 2 \(assistant\)/,
    )
  })
  it('need a template', async () => {
    await expect(load(lines({ messages }))).rejects.toThrow(/rows\.jsonl:1: conversations need a chat template/)
  })
})

describe('input_ids rows', () => {
  it('are taken as they stand, without a tokenizer and whatever the maximal length', async () => {
    const ids = [1, 2, 3, 4]
    const loaded = await load(lines({ input_ids: ids, labels: [-100, 2, -100, 4] }, { input_ids: ids }), {
      tokenizer: undefined,
      maxLength: 2,
    })
    expect([...loaded.dataset].map((e) => [Array.from(e.ids), Array.from(e.labels)])).toEqual([
      [ids, [-100, 2, -100, 4]],
      [ids, ids],
    ])
    expect(loaded.report).toMatchObject({ cut: 0, labelled: 5, format: 'input_ids' })
  })
  it.each([
    [{ input_ids: [1, 263] }, /:1: input_ids\[1\] is 263: not in the model's vocabulary of 263/],
    [{ input_ids: [1, -1] }, /input_ids\[1\] is -1/],
    [{ input_ids: [1, 2.5] }, /input_ids\[1\] is 2.5, not an integer/],
    [{ input_ids: [1, '2'] }, /input_ids\[1\] is "2", not an integer/],
    [{ input_ids: 7 }, /input_ids is not a list/],
    [{ input_ids: [] }, /input_ids is empty/],
    [{ input_ids: [1, 2], labels: [1] }, /labels has 1 entries, input_ids has 2/],
    [{ input_ids: [1, 2], labels: [1, 900] }, /labels\[1\] is 900: not -100/],
    [{ input_ids: [1, 2], labels: [1, -7] }, /labels\[1\] is -7/],
    [{ input_ids: [1, 2, 3, 4, 5] }, /input_ids has 5 tokens and the model reads at most 4/],
    [{ input_ids: [1, 2], labels: [1, -100] }, /no token of any row carries loss/],
  ])('are refused: %j', async (row, message) => {
    await expect(load(lines(row), { modelMaxLength: 4 })).rejects.toMatchObject({
      code: 'data',
      message: expect.stringMatching(message),
    })
  })
})

describe('other rows', () => {
  it.each([
    [{ conversations: [], chosen: {}, rejected: {} }, 'preference'],
    [{ messages: [], label: true }, 'preference'],
    [{ instruction: 'a', chosen: 'b', rejected: 'c' }, 'preference'],
    [{ prompt: 'a', chosen: 'b', rejected: 'c' }, 'preference'],
  ])('are refused by name: %j', async (row, name) => {
    await expect(load(lines(row))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining(`this is a ${name} row`),
    })
  })
  it.each([
    [{ text: 'a', label: 1 }, 'classification'],
    [{ text: 'a', text_pair: 'b', label: 1 }, 'pair-classification'],
    [{ input_ids: [1], label: 1 }, 'labelled-ids'],
    [{ tokens: ['a'], labels: ['O'] }, 'token-classification'],
  ])('of labels are none for a decoder: %j', async (row, format) => {
    await expect(load(lines(row))).rejects.toMatchObject({
      code: 'data',
      field: 'task',
      message: expect.stringContaining(`the model predicts the next token, so it cannot learn from ${format} rows`),
    })
  })
  it('that are no rows name the nearest field', async () => {
    await expect(load(lines({ txt: 'a' }))).rejects.toMatchObject({ code: 'data', suggestion: 'did you mean text?' })
    await expect(load(lines({ label: 0, content: 'a' }))).rejects.toMatchObject({
      code: 'data',
      suggestion: '--columns text=NAME says which field is which',
    })
  })
  it('of another kind than the first are refused with their line', async () => {
    const mixed = lines({ text: 'a' }, { input_ids: [1, 2] })
    await expect(load(mixed)).rejects.toThrow(
      /rows\.jsonl:2: the row is of kind input_ids, and those before it are of kind text/,
    )
    expect((await load(mixed, { skipBadRows: true })).report).toMatchObject({ rows: 1, skipped: 1 })
  })
  it.each([
    [{ text: 5 }, /text is 5, not a string/],
    [{ prompt: 'a', completion: null }, /completion is null, not a string/],
    [{ messages: [] }, /messages is \[\], not a list of at least one/],
    [{ messages: [{ role: 'user' }] }, /messages\[0\] is .*, not an object with role and content/],
  ])('with a wrong field are refused: %j', async (row, message) => {
    const tokenizer = tinyTokenizer({ chatTemplate: MARKED_TEMPLATE })
    await expect(load(lines(row), { tokenizer })).rejects.toThrow(message)
  })
})

describe('files', () => {
  const good = '{"text":"a"}'
  it('may have a byte order mark, CRLF, blank lines and no last line end', async () => {
    const loaded = await load(`\uFEFF${good}\r\n\r\n  \r\n{"text":"é"}`)
    expect([...loaded.dataset].map((e) => e.source.split(':').at(-1))).toEqual(['1', '4'])
    expect(seen(loaded, 1)[0]).toBe('é<|eos|>')
  })
  it.each<[string, string | Uint8Array, RegExp]>([
    ['empty', '', /there are no rows/],
    ['blank', ' \n\n', /there are no rows/],
    ['torn', `${good}\n{"text":"a`, /rows\.jsonl:2: .*not valid JSON.*; the file ends inside it/],
    ['not JSON', `${good}\nhello\n${good}\n`, /rows\.jsonl:2: the row is not valid JSON/],
    ['a list', `[1]\n`, /rows\.jsonl:1: the row is a list, not an object/],
    ['null', `null\n`, /the row is null, not an object/],
    [
      'invalid UTF-8',
      Buffer.concat([Buffer.from('{"text":"'), Buffer.of(0xff), Buffer.from('"}\n')]),
      /:1: the row is not UTF-8/,
    ],
    ['UTF-16', Buffer.from(`\uFEFF${good}`, 'utf16le'), /is UTF-16 text/],
    ['too long', `${good}\n{"text":"${'a'.repeat(100)}"}\n${good}\n`, /rows\.jsonl:2: the row has more than 64 bytes/],
  ])('%s: refused with file and line', async (_name, content, message) => {
    await expect(load(content, { maxRowBytes: 64 })).rejects.toMatchObject({
      code: 'data',
      message: expect.stringMatching(message),
    })
  })
  it('bad rows are counted on request, with their reasons', async () => {
    const content = `${good}\nhello\n{"text":"${'a'.repeat(100)}"}\n{"text":1}\n${good}\n{`
    const { report, dataset } = await load(content, { maxRowBytes: 64, skipBadRows: true })
    expect(report).toMatchObject({ rows: 2, skipped: 4 })
    expect(report.reasons).toHaveLength(4)
    expect([...dataset].map((e) => e.place)).toEqual([0, 4])
    await expect(load('x\ny\n', { skipBadRows: true })).rejects.toThrow(
      /all 2 rows are bad; the first: .*rows\.jsonl:1/,
    )
  })
  it('that are missing are named', async () => {
    const file = join(folder, 'none.jsonl')
    await expect(loadDataset({ ...defaults, sources: [file] })).rejects.toMatchObject({ code: 'missing', file })
  })
  it('may be several, and rows may come from memory', async () => {
    const file = join(folder, 'a.jsonl')
    await writeFile(file, `${good}\n${good}\n`)
    const { dataset } = await loadDataset({ ...defaults, sources: [file, file, [{ text: 'm' }]] })
    expect([...dataset].map((e) => [e.place, e.source])).toEqual([
      [0, `${file}:1`],
      [1, `${file}:2`],
      [2, `${file}:1`],
      [3, `${file}:2`],
      [4, 'rows:1'],
    ])
  })
})

describe('JSON arrays', () => {
  it('name the line on which a row begins', async () => {
    const loaded = await load('\n[\n {"text": "a ] , [ \\" } \\\\"},\n\n {"text":\n "b"} ]\n', {}, 'rows.json')
    expect([...loaded.dataset].map((e) => e.source.split(':').at(-1))).toEqual(['3', '5'])
    expect(seen(loaded, 0)[0]).toBe('a ] , [ " } \\<|eos|>')
  })
  it('may be lines all the same', async () => {
    expect((await load('{"text":"a"}\n{"text":"b"}\n', {}, 'rows.json')).report.rows).toBe(2)
  })
  it.each([
    ['[{"text":"a"}', /rows\.json:1: the array is not closed/],
    ['[{"text":"a"},\n,{"text":"b"}]', /rows\.json:2: a comma without a row/],
    ['[{"text":"a"}]\nx', /rows\.json:2: expected nothing after the array/],
    ['[{"text":"a"}, 5]', /rows\.json:1: the row is a number/],
    ['[]', /there are no rows/],
  ])('that are broken are refused: %s', async (content, message) => {
    await expect(load(content, {}, 'rows.json')).rejects.toThrow(message)
  })
  it('give any rows back, however they are written', async () => {
    const row = fc.record({ text: fc.string({ minLength: 2 }), extra: fc.json() }, { requiredKeys: ['text'] })
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1 }), fc.constantFrom(0, 1, '\t'), async (rows, indent) => {
        const array = await load(JSON.stringify(rows, null, indent), {}, 'any.json')
        const jsonl = await load(lines(...rows))
        expect([...array.dataset].map((e) => e.ids)).toEqual([...jsonl.dataset].map((e) => e.ids))
      }),
      { numRuns: 50 },
    )
  })
})

describe('broken bytes', () => {
  it('never give anything but a LowrankError', async () => {
    const whole = Buffer.from(
      lines({ text: 'añ' }, { messages: [{ role: 'user', content: 'x' }] }, { input_ids: [1, 2] }),
    )
    const mutation = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255), cut: fc.nat(whole.length) })
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), fc.boolean(), async (mutations, asArray) => {
        const bytes = Buffer.from(whole)
        for (const { at, byte } of mutations) bytes[at] = byte
        const outcome = await load(
          bytes.subarray(0, mutations[0]?.cut),
          { skipBadRows: true },
          asArray ? 'm.json' : 'm.jsonl',
        ).then(
          () => 'LowrankError',
          (error: Error) => error.name,
        )
        expect(outcome).toBe('LowrankError')
      }),
      { numRuns: 200 },
    )
  })
})

describe('holding out', () => {
  it('is a partition that the seed alone decides', async () => {
    const { dataset } = await load(lines(...Array.from({ length: 20 }, (_, i) => ({ text: `${i}` }))))
    const { train, held } = splitDataset(dataset, 0.25, 7)
    const places = (data: Iterable<{ place: number }>) => [...data].map((e) => e.place)
    expect([train.length, held.length]).toEqual([15, 5])
    expect([...places(train), ...places(held)].sort((a, b) => a - b)).toEqual(places(dataset))
    expect(places(splitDataset(dataset, 0.25, 7).held)).toEqual(places(held))
    expect(places(splitDataset(dataset, 0.25, 8).held)).not.toEqual(places(held))
    expect(() => splitDataset(dataset, 1, 7)).toThrow(/cannot be held out of 20 rows/)
  })
})

const wikisql = sharedPath('data/datasets/wikisql/train.jsonl')
it.skipIf(wikisql === undefined)('reads a real file', async () => {
  const { report } = await loadDataset({ ...defaults, sources: [wikisql ?? ''] })
  expect(report).toMatchObject({ format: 'text', skipped: 0, unlabelled: 0 })
  expect(report.rows).toBeGreaterThan(900)
})
