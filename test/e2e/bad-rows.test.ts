/** @file Rows, flags and run files that do not fit: refused by file, line and field, before anything is written. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { tinyGpt2, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { idRows, labFolder, type Refusal, readLines, refuse, rowsFile, succeed, textRows } from './lab.ts'

const lab = labFolder()
const at = (...parts: string[]): string => join(lab, ...parts)
let count = 0

beforeAll(async () => {
  await writeTinyModel(at('model'))
  rowsFile(lab, idRows(8))
})

type Expected = Omit<Refusal, 'untouched'>

async function refuseArgs(args: readonly string[], refusal: Expected): Promise<void> {
  const output = at(`run-${count++}`)
  const whole = ['train', '--model', at('model'), '--output', output, ...args]
  await refuse(whole, { ...refusal, untouched: output })
}

async function refuseText(text: string | Uint8Array, refusal: Expected, name = `rows-${count++}.jsonl`): Promise<void> {
  writeFileSync(at(name), text)
  await refuseArgs(['--data', at(name)], refusal)
}

const lines = (...rows: unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
const ids = { input_ids: [1, 2, 3] }

describe('rows', () => {
  const data = { exit: 1, code: 'data' } as const
  const cases: [what: string, text: string | Uint8Array, refusal: Expected][] = [
    ['none at all', '', { ...data, says: /there are no rows/ }],
    ['blank lines only', '\n\n  \n', { ...data, says: /there are no rows/ }],
    ['no JSON', `${lines(ids)}hello\n`, { ...data, says: /rows-\d+\.jsonl:2: the row is not valid JSON/ }],
    ['torn', `${lines(ids, ids)}{"input_ids":[1,2`, { ...data, says: [/:3:/, /the file ends inside it/] }],
    ['a list', `${lines(ids)}[1,2]\n`, { ...data, says: /:2: the row is a list, not an object/ }],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00, 0x0a]), { ...data, says: /UTF-16|UTF-8/ }],
    [
      'broken UTF-8',
      Buffer.concat([Buffer.from('{"text":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}\n')]),
      {
        ...{ ...data, says: /:1: the row is not UTF-8 text/ },
      },
    ],
    [
      'ids outside the vocabulary',
      lines(ids, { input_ids: [1, 263] }),
      {
        ...{ ...data, says: /:2: input_ids\[1\] is 263: not in the model's vocabulary of 263/ },
      },
    ],
    ['negative ids', lines({ input_ids: [-1, 4] }), { ...data, says: /:1: input_ids\[0\] is -1/ }],
    ['ids that are no integers', lines({ input_ids: [1.5, 4] }), { ...data, says: /input_ids\[0\] is 1\.5/ }],
    ['ids that are text', lines({ input_ids: '1,2' }), { ...data, says: /input_ids is not a list/ }],
    ['no ids', lines({ input_ids: [] }), { ...data, says: /:1: input_ids is empty/ }],
    [
      'labels of another length',
      lines(ids, { ...ids, labels: [1, 2] }),
      {
        ...{ ...data, says: /:2: labels has 2 entries, input_ids has 3/ },
      },
    ],
    ['labels outside the vocabulary', lines({ ...ids, labels: [1, 2, 999] }), { ...data, says: /labels\[2\] is 999/ }],
    [
      'everything masked',
      lines({ ...ids, labels: [-100, -100, -100] }),
      { ...data, says: /no token of any row carries loss/ },
    ],
    [
      'a label where nothing predicts it',
      lines({ ...ids, labels: [1, -100, -100] }),
      {
        ...{ ...data, says: /no token of any row carries loss/ },
      },
    ],
    [
      'longer than the model reads',
      lines({ input_ids: Array.from({ length: 65 }, () => 1) }),
      {
        ...{ ...data, says: /65 tokens and the model reads at most 64/ },
      },
    ],
    ['kinds mixed', lines(ids, { text: 'the hen' }), { ...data, says: /:2: .*kind text.*kind input_ids/ }],
    ['unknown fields', lines({ txt: 'the hen' }), { ...data, says: [/fields txt make no row/, /did you mean text/] }],
    ['text that is a number', lines({ text: 7 }), { ...data, says: /text is 7, not a string/ }],
    [
      'a completion that is missing its text',
      lines({ prompt: 'a', completion: null }),
      { ...data, says: /completion/ },
    ],
    ['messages without a role', lines({ messages: [{ content: 'x' }] }), { ...data, says: /messages\[0\]/ }],
    [
      'messages that are none',
      lines({ messages: [] }),
      { ...data, says: /messages is \[\], not a list of at least one/ },
    ],
    [
      'of a classifier',
      lines({ text: 'x', label: 1 }),
      { exit: 1, code: 'data', says: /:1: the model predicts the next token.*classification rows/ },
    ],
    [
      'of preferences',
      lines({ prompt: 'x', chosen: 'a', rejected: 'b' }),
      {
        ...{ exit: 1, code: 'unsupported', says: /preference row/ },
      },
    ],
  ]
  it.each(cases)('%s', async (_, text, refusal) => {
    await refuseText(text, refusal)
  })

  it('an array that is cut off, and files of other kinds', async () => {
    await refuseText('[{"input_ids":[1,2]},', { ...data, says: /the array is not closed/ }, 'cut.json')
    await refuseText('a\n', { exit: 1, code: 'unsupported', says: /rows\.txt: \.txt files are not read/ }, 'rows.txt')
    await refuseText('PAR1', { exit: 1, code: 'format', says: /rows\.parquet is no Parquet file/ }, 'rows.parquet')
    mkdirSync(at('empty'))
    await refuseArgs(['--data', at('empty')], {
      exit: 1,
      code: 'missing',
      says: [/empty has no train file/, /it is empty/],
    })
    await refuseArgs(['--data', at('nowhere.jsonl')], { exit: 1, code: 'missing', says: /no data at .*nowhere\.jsonl/ })
    await refuseArgs(['--data', at('rows.jsonl'), '--eval-data', at('no.jsonl')], {
      exit: 1,
      code: 'missing',
      says: /no\.jsonl/,
    })
  })

  it('that are bad are counted with --skip-bad-rows, and some must be left', async () => {
    writeFileSync(at('mixed.jsonl'), `${lines(ids, { input_ids: [900] }, ids)}nonsense\n`)
    const args = ['train', '--model', at('model'), '--data', at('mixed.jsonl'), '--steps', '1', '--skip-bad-rows']
    const { events } = await succeed([...args, '--output', at('skipping')])
    const notes = events.filter(({ type }) => type === 'notice').map(({ message }) => String(message))
    expect(notes.join('\n')).toMatch(/2 bad rows were skipped: .*mixed\.jsonl:2: .*900.*mixed\.jsonl:4/)
    writeFileSync(at('all-bad.jsonl'), 'x\ny\n')
    await refuseArgs(['--data', at('all-bad.jsonl'), '--skip-bad-rows'], { ...data, says: /all 2 rows are bad/ })
  })

  it('longer than GPT-2 has positions', async () => {
    await writeTinyModel(at('gpt2'), tinyGpt2)
    writeRows(at('long.jsonl'), [{ input_ids: Array.from({ length: 70 }, () => 5) }])
    const args = ['train', '--model', at('gpt2'), '--data', at('long.jsonl'), '--output', at('never')]
    await refuse(args, { ...data, says: /70 tokens and the model reads at most 64/, untouched: at('never') })
    writeRows(at('cut.jsonl'), [{ text: 'the hen '.repeat(40) }])
    const { events } = await succeed([
      'train',
      '--model',
      at('gpt2'),
      '--data',
      at('cut.jsonl'),
      '--output',
      at('cut-run'),
      '--steps',
      '1',
    ])
    expect(JSON.stringify(events)).toContain('1 rows were cut')
  })
})

describe('flags', () => {
  const rows = ['--data', at('rows.jsonl')]
  const usage = { exit: 2, code: 'usage' } as const
  const cases: [args: string[], says: RegExp][] = [
    [['--rnak', '4'], /--rnak is no option of train[\s\S]*--rank/],
    [['--rank', '0'], /--rank expects a whole number of 1 or more, got 0/],
    [['--rank', '-1'], /--rank/],
    [['--rank', '2.5'], /--rank/],
    [['--rank', 'many'], /--rank/],
    [['--rank'], /--rank expects/],
    [['--alpha', '0'], /--alpha/],
    [['--dropout', '1'], /--dropout/],
    [['--steps', '0'], /--steps/],
    [['--epochs', '-1'], /--epochs/],
    [['--batch-size', '0'], /--batch-size/],
    [['--max-length', '1'], /--max-length/],
    [['--learning-rate', 'NaN'], /--learning-rate/],
    [['--learning-rate', '-1'], /--learning-rate/],
    [['--eval-split', '1'], /--eval-split/],
    [['--schedule', 'cosin'], /--schedule[\s\S]*cosine/],
    [['--optimizer', 'adam'], /--optimizer/],
    [['--bias', 'some'], /--bias/],
    [['--engine', 'cuda'], /--engine/],
    [['--dtype', 'f8'], /--dtype/],
    [['--max-grad-norm', '1e400'], /got Infinity/],
    [['--mixout', '0.1'], /--mixout has no meaning with --method lora/],
    [['--method', 'bitfit', '--rank', '4'], /--rank has no meaning with --method bitfit/],
    [['--bottleneck', '4'], /--bottleneck has no meaning with --method lora/],
    [['--method', 'lroa'], /--method[\s\S]*lora/],
    [['--init', 'corda'], /--init corda is not supported: CorDA needs/],
    [['--method', 'full', '--rank', '4'], /--rank has no meaning with --method full/],
    [['--resume', '--overwrite'], /--resume and --overwrite exclude each other/],
    [['--eval-data', 'a.jsonl', '--eval-split', '0.5'], /exclude each other/],
    [['--from-config', 'config.json'], /exclude each other/],
    [['stray'], /train has no use for "stray"/],
    [['--layers', '5-2'], /--layers/],
    [['--seed', '1', '--seed', '2'], /--seed is given twice/],
  ]
  it.each(cases)('%j', async (args, says) => {
    await refuseArgs([...rows, ...args], { ...usage, says })
  })

  it('that are missing', async () => {
    await refuse(['train', '--model', at('model')], { ...usage, says: /train needs --data/ })
    await refuse(['train', ...rows], { ...usage, says: /train needs --model/ })
    await refuse(['train', '--resume'], { ...usage, says: /--resume continues the run in --output/ })
  })
})

describe('a run file', () => {
  const cases: [text: string, exit: 1 | 2, says: RegExp][] = [
    ['learning-rat: 1', 2, /learning-rat is no option of train[\s\S]*learning-rate/],
    ['rank: zero', 2, /rank expects a whole number/],
    ['rank: 4\nrank: 5', 2, /twice/],
    ['rank: [', 2, /not valid YAML/],
    ['- rank', 2, /must hold options/],
    ['a: &a [*a]', 2, /\ba\b/],
    ['rank: 4\nrecipe: few-sample', 2, /recipe/],
  ]
  it.each(cases)('%j', async (text, exit, says) => {
    const file = at(`run-${count++}.yaml`)
    writeFileSync(file, text)
    await refuseArgs(['--data', at('rows.jsonl'), '--config', file], { exit, says: [says, /run-\d+\.yaml/] })
  })

  it('that is right counts, under flags, and is saved as it took effect', async () => {
    const file = at('good.yaml')
    writeFileSync(file, 'rank: 2\nlearningRate: 0.01\nsteps: 2\nlog-every: 1\n')
    const args = ['train', '--config', file, '--model', at('model'), '--data', at('rows.jsonl'), '--rank', '3']
    const { result } = await succeed([...args, '--output', at('from-yaml')])
    expect(result.steps).toBe(2)
    expect(readLines(at('from-yaml', 'trainer_log.jsonl'))[1]).toMatchObject({ step: 2 })
    const again = await succeed(['train', '--config', at('from-yaml', 'run.yaml'), '--output', at('repeated')])
    expect(again.result).toMatchObject({ steps: 2, trainable: result.trainable, loss: result.loss })
  })
})

describe('adapters that cannot be meant', () => {
  const rows = ['--data', at('rows.jsonl')]
  it('rank beyond the larger side; beyond the smaller is said', async () => {
    await refuseArgs([...rows, '--rank', '264'], { exit: 1, code: 'config', says: [/rank/, /264/, /proj/] })
    const args = [
      'train',
      '--model',
      at('model'),
      ...rows,
      '--steps',
      '1',
      '--rank',
      '20',
      '--targets',
      'q_proj,up_proj',
    ]
    await refuse([...args, '--output', at('wide')], { exit: 1, says: /q_proj/, untouched: at('wide') })
    const { events } = await succeed([...args.slice(0, -1), 'up_proj', '--output', at('wide')])
    expect(JSON.stringify(events)).toMatch(/rank.*20.*up_proj|up_proj.*rank.*20/)
  })

  it.each([
    [['--targets', 'q_prj'], /q_prj[\s\S]*q_proj/],
    [['--targets', '/[/'], /targets|target_modules|\[/],
    [['--targets', '/.*nothing/'], /nothing/],
    [['--layers', '7'], /no linear layer in layers \[7\]/],
    [['--exclude', 'q_proj', '--targets', 'q_proj'], /q_proj|exclude/],
  ])('%j names the nearest', async (args, says) => {
    await refuseArgs([...rows, ...args, '--steps', '1'], { exit: 1, says })
  })

  it.each([
    [{ rnak_pattern: {} }, /rnak_pattern is no field[\s\S]*rank_pattern/],
    [{ rank_pattern: { q_proj: 0 } }, /rank_pattern/],
    [{ rank_pattern: 3 }, /rank_pattern/],
    [{ use_qalora: true }, /use_qalora/],
    [{ peft_type: 'IA3' }, /IA3/],
    [{ r: 'eight' }, /\br\b/],
    [{ trainable_token_indices: [9999] }, /9999/],
    [{ megatron_config: { a: 1 } }, /megatron_config/],
    [{ bias: 'lora_only', target_modules: 'all-linear', init_lora_weights: 'corda' }, /corda/],
  ])('--lora-config with %j', async (fields, says) => {
    const file = at(`lora-${count++}.json`)
    writeFileSync(file, JSON.stringify(fields))
    await refuseArgs([...rows, '--lora-config', file, '--steps', '1'], { exit: 1, says })
  })

  it('a split that leaves nothing', async () => {
    rowsFile(lab, textRows(1), 'one.jsonl')
    await refuseArgs(['--data', at('one.jsonl'), '--eval-split', '0.5'], {
      exit: 2,
      says: /cannot be held out of 1 rows/,
    })
  })
})
