import { describe, expect, it } from 'vitest'
import { isLowrankError, type LowrankError } from '../support/errors.ts'
import { parseFlags } from './flags.ts'
import { resolveOptions, resolveSettings } from './resolve.ts'
import { parseRunFile } from './run-file.ts'
import type { VerbName } from './summaries.ts'
import { verbs } from './verbs/index.ts'

/** Parses a command line as the faces do. */
function read(verb: VerbName, line: string[], file?: string) {
  const { settings } = parseFlags(verbs[verb], line)
  return resolveSettings(
    verb,
    file === undefined ? settings : { ...parseRunFile(verbs[verb], file, 'run.yaml'), ...settings },
  )
}

function complaint(work: () => unknown): LowrankError {
  try {
    work()
  } catch (error) {
    if (isLowrankError(error)) return error
    throw error
  }
  throw new Error('nothing was refused')
}

const least = ['--model', 'm', '--data', 'd.jsonl']

describe('flags', () => {
  it('fills in the defaults of the contract', () => {
    const { values, given } = resolveSettings('train', parseFlags(verbs.train, least).settings)
    expect(values).toMatchObject({
      ...{
        method: 'lora',
        rank: 8,
        alpha: 16,
        dropout: 0,
        targets: 'all-linear',
        bias: 'none',
        init: true,
        rslora: false,
      },
      ...{
        loraPlusRatio: 1,
        loraPlusEmbeddingRate: 1e-6,
        loraFa: false,
        epochs: 3,
        batchSize: 8,
        gradAccumulation: 1,
        maxLength: 1024,
        packing: false,
        dora: false,
      },
      ...{ trainOn: 'completion', optimizer: 'adamw', learningRate: 2e-4, schedule: 'cosine', warmup: 0.03 },
      ...{ weightDecay: 0, maxGradNorm: 1, seed: 42, shuffle: true, logEvery: 10, evalEvery: 0, saveEvery: 0, keep: 3 },
      ...{ keepBest: false, engine: 'auto', threads: 'auto', dtype: 'auto', recompute: 'auto' },
    })
    expect(given).toEqual({ model: 'm', data: ['d.jsonl'] })
  })

  it('reads values in every spelling', () => {
    const { given } = read('train', [
      ...least,
      ...[
        '--rank=16',
        '--learning-rate',
        '1e-3',
        '--packing',
        '--no-shuffle',
        '--recompute',
        '--keepBest',
        '--init',
        'false',
      ],
    ])
    expect(given).toMatchObject({ rank: 16, learningRate: 1e-3, packing: true, shuffle: false, recompute: 'on' })
    expect(given).toMatchObject({ keepBest: true, init: false })
    expect(read('train', [...least, '--no-recompute']).given).toMatchObject({ recompute: 'off' })
    expect(read('train', [...least, '--recompute', 'auto', '--packing', 'false']).given).toMatchObject({
      recompute: 'auto',
      packing: false,
    })
  })

  it('takes lists with commas or repeated, ranges of layers, and regular expressions whole', () => {
    const { values } = read('train', [
      ...least,
      '--data',
      'e,f',
      '--data',
      'a\\,b',
      '--layers',
      '0-2,5',
      '--targets',
      'q_proj, v_proj',
    ])
    expect(values).toMatchObject({
      data: ['d.jsonl', 'e', 'f', 'a,b'],
      layers: [0, 1, 2, 5],
      targets: ['q_proj', 'v_proj'],
    })
    expect(read('train', [...least, '--targets', '/.*\\.(q|v){1,2}_proj/']).values).toMatchObject({
      targets: '/.*\\.(q|v){1,2}_proj/',
    })
    expect(read('generate', ['--model', 'm', '--ids', '1,2', '--stop', '\\n\\n,END']).values).toMatchObject({
      ids: [1, 2],
      stop: ['\n\n', 'END'],
    })
  })

  it('takes negative numbers as values, so that the range is what is refused', () => {
    expect(complaint(() => read('train', [...least, '--rank', '-1'])).message).toBe(
      '--rank expects a whole number of 1 or more, got -1',
    )
  })

  it.each([
    [['--rank', '0'], '--rank expects a whole number of 1 or more, got 0'],
    [['--rank', 'eight'], '--rank expects a whole number of 1 or more, got "eight"'],
    [['--rank', '1.5'], '--rank expects a whole number of 1 or more, got 1.5'],
    [['--dropout', '1'], '--dropout expects a number (0 or more and below 1), got 1'],
    [['--threads', '0'], '--threads expects a whole number from 1 to 256, or auto, got 0'],
    [['--layers', '3-1'], '--layers expects whole numbers or ranges, as 0,2 or 0-4, got ["3-1"]'],
    [['--rank'], '--rank expects a whole number of 1 or more, got nothing'],
    [['--rank', '8', '--rank', '9'], '--rank is given twice'],
    [['--resume', '--overwrite', '--output', 'o'], '--resume and --overwrite exclude each other: give one'],
    [['--epochs', '1', '--steps', '9'], '--epochs has no meaning with --steps 9: leave one out'],
    [['--method', 'full', '--rank', '4'], '--rank has no meaning with --method full: leave one out'],
    [['--resume'], '--resume continues the run in --output: name its folder'],
    [['--mixout', '0.9'], '--mixout has no meaning with --method lora: leave one out'],
    [
      ['--method', 'bitfit', '--reinit-layers', '2'],
      '--reinit-layers has no meaning with --method bitfit: leave one out',
    ],
    [['--method', 'full', '--mixout-mask', 'column'], '--mixout-mask has no meaning with --mixout 0: leave one out'],
    [['--method', 'full', '--mixout', '1'], '--mixout expects a number (0 or more and below 1), got 1'],
    [['--no-decay', 'bias,norms'], '--no-decay expects any of bias, norm, head, embedding, got ["bias","norms"]'],
    [['--eval-every', '1.5'], '--eval-every is a whole number of steps, or a share of them below 1'],
    [
      ['--recipe', 'few-sample', '--rank', '4'],
      '--rank has no meaning with method full, which --recipe sets: leave one out',
    ],
    [['--recipe', 'few-samples'], '--recipe expects few-sample, got "few-samples"'],
    [['--temperature', '1'], '--temperature is no option of train (it is one of generate, chat)'],
    [['extra'], 'train has no use for "extra"'],
  ])('refuses %j', (line, message) => {
    const error = complaint(() => read('train', [...least, ...line]))
    expect(error.message).toBe(message)
    expect(error.code).toBe('usage')
  })

  it('takes every bare word where the verb has a list for them', () => {
    expect(read('diff', ['runs/a', 'runs/b']).values).toMatchObject({ adapter: ['runs/a', 'runs/b'] })
  })

  it('names the nearest flag and the nearest choice', () => {
    expect(complaint(() => read('train', ['--rnak', '8']))).toMatchObject({
      message: '--rnak is no option of train',
      suggestion: '--rank',
      field: 'rnak',
    })
    expect(complaint(() => read('train', [...least, '--schedule', 'cosin']))).toMatchObject({
      suggestion: 'cosine',
      field: 'schedule',
    })
    expect(complaint(() => read('train', [...least, '--split-seed', '3']))).toMatchObject({
      message: '--split-seed chooses the rows that --eval-split holds out: give a share too',
      field: 'split-seed',
    })
    expect(complaint(() => read('train', [...least, '--no-decay', 'bias,nrom']))).toMatchObject({
      suggestion: 'norm',
      field: 'no-decay',
    })
  })

  it('says what is missing', () => {
    expect(complaint(() => read('train', ['--data', 'd'])).message).toMatch(/^train needs --model: /)
    expect(complaint(() => read('eval', ['--model', 'm'])).message).toMatch(/^eval needs --data: files of rows/)
    expect(complaint(() => read('train', ['--from-config', 'c.json', '--data', 'd'])).message).toMatch(
      /add --method full$/,
    )
  })
})

describe('run file', () => {
  it('has the words of the flags, and a flag wins', () => {
    const file = 'model: m\ndata: a.jsonl,b.jsonl\nlearning-rate: 1e-3\nbatchSize: 2\nrecompute: true\ninit: gaussian\n'
    const { values } = read('train', ['--learning-rate', '5e-4'], file)
    expect(values).toMatchObject({
      model: 'm',
      data: ['a.jsonl', 'b.jsonl'],
      learningRate: 5e-4,
      batchSize: 2,
      recompute: 'on',
    })
  })

  it.each([
    ['model: m\nrnak: 8', 'rnak is no option of train', 'run.yaml:2', 'rank'],
    ['model: m\nbatch-sise: 8', 'batch-sise is no option of train', 'run.yaml:2', 'batch-size'],
    ['# one\nmodel: m\ndata: d\nrank: 0', 'rank expects a whole number of 1 or more, got 0', 'run.yaml:4', undefined],
    ['rank: 8\nrank: 9', 'run.yaml is not valid YAML: an option is given twice', 'run.yaml:2', undefined],
    ['batch-size: 8\nbatchSize: 9', 'batchSize is given twice (also as batch-size)', 'run.yaml:2', undefined],
    ['- a', 'run.yaml must hold options, one a line, as "rank: 8"', 'run.yaml:1', undefined],
    [
      'model: m\ndata: d\nlayerDecay: 2',
      'layerDecay expects a number (above 0 and at most 1), got 2',
      'run.yaml:3',
      undefined,
    ],
    ['model: m\ndata: d\nalpha:', 'alpha expects a number (above 0), got null', 'run.yaml:3', undefined],
  ])('refuses %j', (text, message, file, suggestion) => {
    expect(complaint(() => read('train', [], text))).toMatchObject({ message, file, suggestion, code: 'usage' })
  })

  it('names the line of broken YAML', () => {
    expect(complaint(() => read('train', [], 'model: m\ndata: [a\nrank: 8\n'))).toMatchObject({
      file: expect.stringMatching(/^run\.yaml:\d$/),
      code: 'usage',
    })
  })

  it('gives way to flags that leave it nothing to say', () => {
    const file = 'model: m\ndata: d\nrank: 8\nepochs: 3\n'
    expect(read('train', ['--method', 'full', '--steps', '5'], file).given).toEqual({
      model: 'm',
      data: ['d'],
      method: 'full',
      steps: 5,
    })
    expect(read('train', ['--eval-data', 'e'], `${file}eval-split: 0.1`).given).toMatchObject({ evalData: ['e'] })
  })
})

describe('library call', () => {
  it('takes one text as a list of one, and leaves the signal alone', () => {
    const options = resolveOptions('train', { model: 'm', data: 'd,e.jsonl', targets: 'q_proj' })
    expect(options).toMatchObject({ data: ['d,e.jsonl'], targets: ['q_proj'] })
    expect(
      resolveOptions('eval', Object.assign({ model: 'm', data: 'd' }, { signal: new AbortController().signal }))
        .batchSize,
    ).toBe(8)
  })

  it('names options as the caller spells them', () => {
    expect(complaint(() => resolveOptions('train', {})).message).toMatch(/^train needs model: /)
    expect(complaint(() => resolveOptions('train', { model: 'm', data: 'd', learningRate: -1 })).message).toBe(
      'learningRate expects a number (0 or more), got -1',
    )
    expect(complaint(() => resolveOptions('train', Object.assign({ model: 'm' }, { learningrate: 1 })))).toMatchObject({
      suggestion: 'learningRate',
    })
  })
})
