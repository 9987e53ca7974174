/** @file What the options of `train` do, each seen from outside: in the log, in the files, in what is said. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { isRecord } from '../../src/support/json.ts'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'
import { tinyGpt2, writeJson, writeTinyModel } from '../setup/tiny-model.ts'
import { idRows, type Json, labFolder, readLines, rowsFile, sha256, steadyLog, succeed } from './lab.ts'

const lab = labFolder()
const at = (...parts: string[]): string => join(lab, ...parts)
const rows = idRows(12)

beforeAll(async () => {
  await writeTinyModel(at('model'))
  await writeTinyModel(at('gpt2'), tinyGpt2)
  rowsFile(lab, rows)
})

interface Run {
  readonly path: string
  readonly result: Json
  readonly said: string
  /** The report on the rows. */
  readonly rows: Json
  /** Lines of steps and of evaluations. */
  readonly log: Json[]
  readonly evals: Json[]
}

/** Trains on the tiny model and the rows, unless `flags` say otherwise. */
async function run(name: string, ...flags: string[]): Promise<Run> {
  const flag = (key: string, ...value: string[]): string[] => (flags.includes(key) ? [] : [key, ...value])
  const length = flags.includes('--epochs') ? [] : flag('--steps', '3')
  const source = flags.includes('--from-config') ? [] : flag('--model', at('model'))
  const args = ['train', ...source, ...flag('--data', at('rows.jsonl')), '--output', at(name), '--log-every', '1']
  const { result, events } = await succeed([...args, ...length, '--threads', '1', '--samples', '0', ...flags])
  const said = events.filter(({ type }) => type === 'notice').map(({ message }) => message)
  const report = events.find(({ type }) => type === 'data')?.report
  const lines = steadyLog(at(name))
  const evals = lines.filter((line) => 'eval_loss' in line)
  const log = lines.filter((line) => !('eval_loss' in line))
  return { path: at(name), result, said: said.join('\n'), rows: isRecord(report) ? report : {}, log, evals }
}

const adapter = async (path: string): Promise<Map<string, HostTensor>> =>
  await readSafetensors(join(path, 'adapter_model.safetensors'))
const keysOf = async (path: string): Promise<string[]> => [...(await adapter(path)).keys()]
const norm = (values: Iterable<HostTensor>): number =>
  Math.sqrt([...values].reduce((sum, { data }) => sum + Array.from(data, Number).reduce((a, x) => a + x * x, 0), 0))
const numbers = (lines: readonly Json[], field: string): number[] => lines.map((line) => Number(line[field]))
const untrained = ['--learning-rate', '0', '--steps', '1']

function near(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(actual.length).toBe(expected.length)
  actual.forEach((x, i) => {
    expect(Math.abs(x - (expected[i] ?? Number.NaN)), `${actual} and ${expected}`).toBeLessThan(tolerance)
  })
}

describe('batches', () => {
  it('packed, accumulated and whole are the same steps, with dropout on', async () => {
    const flags = ['--dropout', '0.3', '--no-shuffle', '--learning-rate', '1e-2', '--warmup', '0', '--max-length', '48']
    const whole = await run('whole', ...flags, '--batch-size', '12')
    const parts = await run('parts', ...flags, '--batch-size', '3', '--grad-accumulation', '4')
    const packed = await run('packed', ...flags, '--batch-size', '12', '--packing')
    for (const other of [parts, packed])
      for (const field of ['loss', 'grad_norm', 'tokens', 'learning_rate'])
        near(numbers(other.log, field), numbers(whole.log, field), 1e-4)
    const clean = await run('clean', '--no-shuffle', '--batch-size', '12', '--learning-rate', '1e-2', '--warmup', '0')
    // Before the first update dropout acts on an update that is zero: the loss is the same, its gradient is not.
    expect(Math.abs(Number(clean.log[0]?.grad_norm) - Number(whole.log[0]?.grad_norm))).toBeGreaterThan(1e-3)
  })

  it('go through the file in order without shuffling, keep the last partial one and wrap round', async () => {
    const { log } = await run('in-order', '--no-shuffle', '--batch-size', '5', '--steps', '4')
    const size = (from: number, to: number): number => rows.slice(from, to).reduce((n, r) => n + r.input_ids.length, 0)
    const [all, first] = [size(0, 12), size(0, 5)]
    expect(numbers(log, 'tokens')).toEqual([first, size(0, 10), all, all + first])
    near(numbers(log, 'epoch'), [1 / 3, 2 / 3, 1, 4 / 3], 1e-9)
    const shuffled = await run('shuffled', '--batch-size', '5', '--steps', '3')
    expect(numbers(shuffled.log, 'tokens').at(-1)).toBe(all)
    expect(numbers(shuffled.log, 'tokens')).not.toEqual(numbers(log, 'tokens').slice(0, 3))
  })

  it('follow the data seed, new weights the other one', async () => {
    const [a, b, c] = [
      await run('seed-a', ...untrained, '--batch-size', '4', '--data-seed', '1'),
      await run('seed-b', ...untrained, '--batch-size', '4', '--data-seed', '2'),
      await run('seed-c', ...untrained, '--batch-size', '4', '--data-seed', '1', '--init-seed', '9'),
    ]
    const hash = ({ path }: Run): string => sha256(join(path, 'adapter_model.safetensors'))
    expect(hash(b)).toBe(hash(a))
    expect(b.log[0]?.loss).not.toBe(a.log[0]?.loss)
    expect(hash(c)).not.toBe(hash(a))
    expect(c.log[0]?.loss).toBe(a.log[0]?.loss)
  })
})

describe('rates', () => {
  const rates = async (name: string, ...flags: string[]): Promise<number[]> =>
    numbers(
      (await run(name, '--steps', '6', '--learning-rate', '1', '--optimizer', 'sgd', ...flags)).log,
      'learning_rate',
    )

  it('follow each schedule after its warm-up', async () => {
    const half = [0.5, (1 + Math.cos(Math.PI * 0.25)) / 2, (1 + Math.cos(Math.PI * 0.75)) / 2]
    near(await rates('constant', '--schedule', 'constant', '--warmup', '2'), [0, 0.5, 1, 1, 1, 1], 1e-9)
    near(await rates('linear', '--schedule', 'linear', '--warmup', '2'), [0, 0.5, 1, 0.75, 0.5, 0.25], 1e-9)
    // A share is rounded up to a step: 0.2 of 6 steps are 2.
    near(
      await rates('cosine', '--schedule', 'cosine', '--warmup', '0.2'),
      [0, 0.5, 1, half[1] ?? 0, 0.5, half[2] ?? 0],
      1e-9,
    )
  })

  it('times the gradient is what SGD takes', async () => {
    const flags = [
      '--optimizer',
      'sgd',
      '--schedule',
      'constant',
      '--warmup',
      '0',
      '--steps',
      '1',
      '--batch-size',
      '12',
    ]
    const free = await run('sgd', ...flags, '--learning-rate', '0.5', '--max-grad-norm', '0')
    // B starts at zero, so A has no gradient in the first step and all of it is in B.
    const b = (tensors: Map<string, HostTensor>): HostTensor[] =>
      [...tensors].filter(([key]) => key.includes('lora_B')).map(([, value]) => value)
    const length = Number(free.log[0]?.grad_norm)
    near([norm(b(await adapter(free.path)))], [0.5 * length], 1e-4)
    const clipped = await run('clipped', ...flags, '--learning-rate', '0.5', '--max-grad-norm', '0.1')
    expect(clipped.log[0]?.grad_norm).toBe(free.log[0]?.grad_norm)
    near([norm(b(await adapter(clipped.path)))], [0.05], 1e-4)
    const plus = await run('plus', ...flags, '--learning-rate', '0.5', '--max-grad-norm', '0', '--lora-plus-ratio', '4')
    near([norm(b(await adapter(plus.path)))], [2 * length], 1e-3)
  })
})

describe('evaluation', () => {
  it('on files, on a share held out, and the best kept', async () => {
    rowsFile(lab, idRows(5), 'held.jsonl')
    const held = await run('held', '--eval-data', at('held.jsonl'), '--eval-every', '2', '--steps', '4')
    expect(numbers(held.evals, 'step')).toEqual([2, 4])
    expect(held.result.evalLoss).toBe(held.evals[1]?.eval_loss)
    expect(held.evals[0]?.eval_tokens).toBe(idRows(5).reduce((n, row) => n + row.input_ids.length - 1, 0))
    const split = await run('split', '--eval-split', '0.25', '--steps', '2')
    expect(split.evals.at(-1)?.eval_tokens).toBeGreaterThan(0)
    expect(split.rows).toMatchObject({ format: 'input_ids', rows: 9, heldRows: 3 })
  })

  it('leaves the best weights with --keep-best', async () => {
    // A rate that destroys the model: the first evaluation stays the best.
    const flags = [
      '--eval-data',
      at('rows.jsonl'),
      '--eval-every',
      '1',
      '--save-every',
      '1',
      '--steps',
      '6',
      '--keep',
      '2',
    ]
    const wild = ['--learning-rate', '20', '--schedule', 'constant', '--warmup', '1', '--optimizer', 'sgd']
    const best = await run('best', ...flags, ...wild, '--max-grad-norm', '5', '--keep-best')
    const losses = numbers(best.evals, 'eval_loss')
    const lowest = losses.indexOf(Math.min(...losses)) + 1
    expect(lowest, String(losses)).toBeLessThan(5)
    expect(best.result.evalLoss).toBe(Math.min(...losses))
    expect(best.said).toContain(`the result has the weights of step ${lowest}`)
    const kept = readdirSync(best.path)
      .filter((name) => name.startsWith('checkpoint-'))
      .sort()
    expect(kept).toEqual([`checkpoint-${lowest}`, 'checkpoint-5', 'checkpoint-6'])
    const { result } = await succeed(['eval', '--adapter', best.path, '--data', at('rows.jsonl')])
    near([Number(result.loss)], [Math.min(...losses)], 1e-4)
  })

  it('leaves as many checkpoints as --keep says', async () => {
    const { path } = await run('keep', '--save-every', '1', '--steps', '5', '--keep', '2')
    expect(
      readdirSync(path)
        .filter((name) => name.startsWith('checkpoint-'))
        .sort(),
    ).toEqual(['checkpoint-4', 'checkpoint-5'])
    const { path: epochs } = await run('epochs', '--epochs', '2', '--batch-size', '6')
    expect(readdirSync(epochs)).toEqual(expect.arrayContaining(['checkpoint-2', 'checkpoint-4']))
  })
})

describe('adapters', () => {
  it.each([
    [['--targets', 'q_proj,v_proj'], /(q|v)_proj\.lora_[AB]\.weight$/, 8],
    [['--targets', '/.*layers\\.0\\..*(up|down)_proj/'], /layers\.0\.mlp\.(up|down)_proj\.lora_[AB]\.weight$/, 4],
    [['--targets', 'q_proj', '--layers', '1'], /layers\.1\.self_attn\.q_proj\.lora_[AB]\.weight$/, 2],
    [['--exclude', 'gate_proj,up_proj,down_proj'], /self_attn\.[qkvo]_proj\.lora_[AB]\.weight$/, 16],
  ])('%j has exactly its keys', async (flags, pattern, count) => {
    const { path } = await run(`keys-${flags.join('').replace(/\W/g, '')}`, ...untrained, ...flags)
    const keys = await keysOf(path)
    expect(keys.filter((key) => !pattern.test(key))).toEqual([])
    expect(keys).toHaveLength(count)
  })

  it('DoRA with rank-stabilised scaling and the head trained besides', async () => {
    const flags = ['--dora', '--rslora', '--modules-to-save', 'lm_head', '--rank', '4']
    const { path, result } = await run('dora', ...flags, '--learning-rate', '1e-2')
    const tensors = await adapter(path)
    expect([...tensors.keys()].filter((key) => key.endsWith('lora_magnitude_vector'))).toHaveLength(14)
    expect(tensors.get('base_model.model.lm_head.weight')?.shape).toEqual([263, 16])
    const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8')) as Json
    expect(config).toMatchObject({
      use_dora: true,
      use_rslora: true,
      modules_to_save: ['lm_head'],
      r: 4,
      lora_alpha: 16,
    })
    expect(result.trainable).toBe([...tensors.values()].reduce((n, t) => n + t.data.length, 0))
    const { result: evaluated } = await succeed(['eval', '--adapter', path, '--data', at('rows.jsonl')])
    expect(evaluated.loss).toBeTypeOf('number')
  })

  it('GPT-2 with every bias', async () => {
    const { path } = await run(
      'biases',
      '--model',
      at('gpt2'),
      '--bias',
      'all',
      '--targets',
      'c_attn',
      '--learning-rate',
      '1e-2',
    )
    const keys = await keysOf(path)
    expect(keys).toContain('base_model.model.transformer.h.0.attn.c_attn.base_layer.bias')
    expect(keys).toContain('base_model.model.transformer.ln_f.bias')
    const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8')) as Json
    expect(config).toMatchObject({ bias: 'all', fan_in_fan_out: true })
  })

  it('fields of a LoraConfig file count, a flag over them', async () => {
    const file = writeJson(at('lora.json'), {
      ...{ r: 4, rank_pattern: { v_proj: 2 }, alpha_pattern: { v_proj: 8 }, trainable_token_indices: [3, 5] },
      ...{ target_modules: ['q_proj', 'v_proj'], lora_alpha: 32 },
    })
    const { path } = await run('lora-config', '--lora-config', file, '--rank', '6', '--learning-rate', '1e-2')
    const tensors = await adapter(path)
    const shape = (name: string): readonly number[] | undefined =>
      tensors.get(`base_model.model.model.layers.0.self_attn.${name}.lora_A.weight`)?.shape
    expect([shape('q_proj'), shape('v_proj')]).toEqual([
      [6, 16],
      [2, 16],
    ])
    const tokens = [...tensors].filter(([key]) => key.includes('trainable_tokens'))
    expect(tokens.map(([, value]) => value.shape)).toEqual([[2, 16]])
    const config = JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8')) as Json
    expect(config).toMatchObject({ r: 6, lora_alpha: 32, rank_pattern: { v_proj: 2 }, trainable_token_indices: [3, 5] })
  })

  it('start as --init says', async () => {
    const largest = async (init: string, part: string): Promise<number> => {
      const { path } = await run(`init-${init}`, ...untrained, '--init', init, '--overwrite')
      const values = [...(await adapter(path))].filter(([key]) => key.includes(part)).map(([, value]) => value)
      return norm(values)
    }
    expect(await largest('true', 'lora_B')).toBe(0)
    expect(await largest('gaussian', 'lora_B')).toBe(0)
    expect(await largest('false', 'lora_B')).toBeGreaterThan(0.1)
    expect(await largest('gaussian', 'lora_A')).not.toBe(await largest('true', 'lora_A'))
  })

  it('may start from another one', async () => {
    const first = await run('first', '--rank', '4', '--targets', 'q_proj', '--learning-rate', '1e-2')
    const same = await run('second', ...untrained, '--adapter', first.path)
    expect(sha256(join(same.path, 'adapter_model.safetensors'))).toBe(
      sha256(join(first.path, 'adapter_model.safetensors')),
    )
    expect(readFileSync(join(same.path, 'run.yaml'), 'utf8')).toMatch(/^rank: 4$/m)
    const further = await run('third', '--adapter', first.path, '--learning-rate', '1e-2')
    expect(sha256(join(further.path, 'adapter_model.safetensors'))).not.toBe(
      sha256(join(first.path, 'adapter_model.safetensors')),
    )
  })
})

describe('every weight', () => {
  it('trains with --method full into a model folder', async () => {
    const { path, result } = await run(
      'full',
      '--method',
      'full',
      '--eval-data',
      at('rows.jsonl'),
      '--learning-rate',
      '1e-2',
    )
    for (const name of ['model.safetensors', 'config.json', 'tokenizer.json', 'run.yaml', 'report.html'])
      expect(existsSync(join(path, name)), name).toBe(true)
    expect(existsSync(join(path, 'adapter_config.json'))).toBe(false)
    const { result: evaluated } = await succeed(['eval', '--model', path, '--data', at('rows.jsonl')])
    near([Number(evaluated.loss)], [Number(result.evalLoss)], 1e-4)
  })

  it('starts at random with --from-config, and is a base for an adapter', async () => {
    const config = ['--from-config', at('model', 'config.json'), '--method', 'full']
    const [a, b] = [await run('new-a', ...config), await run('new-b', ...config, '--init-seed', '5')]
    expect(sha256(join(a.path, 'model.safetensors'))).not.toBe(sha256(join(b.path, 'model.safetensors')))
    await run('on-new', '--model', a.path)
    expect(JSON.parse(readFileSync(at('on-new', 'adapter_config.json'), 'utf8'))).toMatchObject({
      base_model_name_or_path: a.path,
    })
  })
})

describe('rows', () => {
  /** Tokens, and those with loss. */
  const counted = ({ rows }: Run): number[] => [Number(rows.tokens), Number(rows.labelled)]

  it('of messages learn the assistant’s turns, of prompts the completion, of texts everything', async () => {
    const chat = [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'yes' },
    ]
    rowsFile(lab, [{ messages: [...chat, ...chat] }], 'chat.jsonl')
    // <|im_start|> and <|im_end|> are one id each, every other letter one, but for `he`.
    const turns = counted(await run('chat', ...untrained, '--data', at('chat.jsonl')))
    expect(turns[1]).toBe(2 * ('yes'.length + 1))
    const everything = counted(await run('chat-all', ...untrained, '--data', at('chat.jsonl'), '--train-on', 'all'))
    expect(everything).toEqual([turns[0], (turns[0] ?? 0) - 1])
    rowsFile(lab, [{ prompt: 'one', completion: ' two' }], 'pairs.jsonl')
    expect(counted(await run('pairs', ...untrained, '--data', at('pairs.jsonl')))).toEqual([3 + 3 + 1, 3 + 1])
    expect(counted(await run('pairs-all', ...untrained, '--data', at('pairs.jsonl'), '--train-on', 'all'))).toEqual([
      7, 6,
    ])
    rowsFile(lab, [{ text: 'one' }], 'texts.jsonl')
    expect(counted(await run('texts', ...untrained, '--data', at('texts.jsonl')))).toEqual([4, 3])
  })

  it('longer than --max-length are cut, and said to be', async () => {
    rowsFile(lab, [{ text: 'abcdefghij' }, { text: 'abc' }], 'long.jsonl')
    const cut = await run('cut', ...untrained, '--data', at('long.jsonl'), '--max-length', '6')
    expect(cut.said).toContain('1 rows were cut to the maximal length')
    expect(counted(cut)[0]).toBe(6 + 4)
    const whole = await run('uncut', ...untrained, '--max-length', '6')
    expect(counted(whole)[0]).toBe(rows.reduce((n, row) => n + row.input_ids.length, 0))
  })

  it('of a folder are taken by name', async () => {
    const { mkdirSync } = await import('node:fs')
    mkdirSync(at('folder'))
    rowsFile(at('folder'), rows, 'train.jsonl')
    rowsFile(at('folder'), idRows(3), 'valid.jsonl')
    const { evals, rows: report } = await run('folder-run', '--data', at('folder'))
    expect(report).toMatchObject({ format: 'input_ids', rows: 12, heldRows: 3 })
    expect(evals.length).toBeGreaterThan(0)
  })
})

describe('the graph of a step', () => {
  it('is shown with --print-graph, the same each time', async () => {
    const shown = async (output: string): Promise<Json | undefined> => {
      const args = ['train', '--model', at('model'), '--data', at('rows.jsonl'), '--steps', '1', '--print-graph']
      return (await succeed([...args, '--output', at(output)])).events.find(({ type }) => type === 'graph')
    }
    const [first, second] = [await shown('graph-a'), await shown('graph-b')]
    expect(first?.text).toMatch(/^graph\([\s\S]*= matmul\([\s\S]*return losses=/)
    expect(second).toEqual(first)
  })
})

describe('a run folder', () => {
  it('holds everything the contract names, and run.yaml repeats the run', async () => {
    const { path, result } = await run('whole-folder', '--eval-split', '0.2', '--learning-rate', '1e-3')
    expect(readdirSync(path).sort()).toEqual(
      [
        ...['README.md', 'adapter_config.json', 'adapter_model.safetensors', 'checkpoint-2', 'checkpoint-3'],
        ...['report.html', 'run.yaml', 'train_results.json', 'trainer_log.jsonl'],
      ].filter((name) => name !== 'checkpoint-2' || existsSync(join(path, name))),
    )
    const line = readLines(join(path, 'trainer_log.jsonl'))[0]
    expect(Object.keys(line ?? {}).sort()).toEqual(
      [
        ...['step', 'total_steps', 'epoch', 'loss', 'learning_rate', 'grad_norm', 'tokens', 'tokens_per_second'],
        ...['elapsed_seconds', 'remaining_seconds', 'peak_memory_bytes'],
      ].sort(),
    )
    for (const field of [
      'output',
      'steps',
      'loss',
      'evalLoss',
      'tokensPerSecond',
      'peakMemoryBytes',
      'trainable',
      'seconds',
    ])
      expect(result, field).toHaveProperty(field)
    const again = await succeed(['train', '--config', join(path, 'run.yaml'), '--output', at('repeat')])
    expect(again.result.loss).toBe(result.loss)
    expect(sha256(at('repeat', 'adapter_model.safetensors'))).toBe(sha256(join(path, 'adapter_model.safetensors')))
  })
})
