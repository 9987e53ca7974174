/** @file Runs that go wrong on the way: NaN, a full disk, a read-only folder, adapters that do not fit. Nothing is lost. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCli } from '../setup/run-cli.ts'
import { tinyLlama, writeJson, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { expectFailure, idRows, labFolder, refuse, rowsFile, sha256, snapshot, steadyLog, succeed } from './lab.ts'

const lab = labFolder()
const at = (...parts: string[]): string => join(lab, ...parts)
const HIDDEN = 16
/** A state dictionary that os.system stands in. */
const hostile = fileURLToPath(new URL('../goldens/torch/hostile/system.bin', import.meta.url))
/** A token whose embedding is not a number in the model `poisoned`. */
const POISON = 200

beforeAll(async () => {
  await writeTinyModel(at('model'))
  await writeTinyModel(at('wider'), { ...tinyLlama, hidden_size: 32 })
  await writeTinyModel(at('deeper'), { ...tinyLlama, num_hidden_layers: 3 })
  await writeTinyModel(at('poisoned'), tinyLlama, (weights) => {
    const embedding = weights.get('model.embed_tokens.weight')
    embedding?.data.fill(Number.NaN as never, POISON * HIDDEN, (POISON + 1) * HIDDEN)
  })
  rowsFile(lab, idRows(8))
})

const training = (model: string, output: string): string[] => [
  ...['train', '--model', at(model), '--data', at('rows.jsonl'), '--output', at(output), '--batch-size', '2'],
  ...[
    '--steps',
    '4',
    '--samples',
    '0',
    '--save-every',
    '1',
    '--log-every',
    '1',
    '--no-shuffle',
    '--learning-rate',
    '1e-2',
  ],
]

describe('a loss that is not a number', () => {
  it('stops the run, names the row, and leaves the last good checkpoint', async () => {
    const rows = idRows(8).map(({ input_ids }) => ({ input_ids: input_ids.map((id) => (id === POISON ? 1 : id)) }))
    rows[5]?.input_ids.push(POISON, 3)
    writeRows(at('poison.jsonl'), rows)
    for (const engine of ['reference', 'onnxruntime']) {
      const output = `nan-${engine}`
      const args = training('poisoned', output).map((word) => (word === at('rows.jsonl') ? at('poison.jsonl') : word))
      args.push('--engine', engine, '--threads', '1')
      const expected = /step 3: the loss is not a number, at row 6 of the data[\s\S]*poison\.jsonl:6/
      expectFailure(await runCli(args), expected)
      expect(checkpoints(output)).toEqual(['checkpoint-1', 'checkpoint-2'])
      // Going on meets the same row, and still harms nothing.
      const before = snapshot(at(output, 'checkpoint-2'))
      const again = await runCli([...args, '--resume'])
      expect(again.stderr).toMatch(/going on after step 2/)
      expectFailure(again, expected)
      expect(snapshot(at(output, 'checkpoint-2'))).toBe(before)
      expect(steadyLog(at(output)).map(({ step }) => step)).toEqual([1, 2])
      expect(readdirSync(at(output)).filter((name) => name.endsWith('.tmp') || name.endsWith('.lock'))).toEqual([])
    }
  })

  it('in evaluation names the row too', async () => {
    writeRows(at('held.jsonl'), [{ input_ids: [1, 2, 3] }, { input_ids: [4, POISON, 5] }])
    const data = ['--data', at('held.jsonl')]
    await refuse(['eval', '--model', at('poisoned'), ...data], { exit: 1, code: 'numeric', says: /the loss of row 2 / })
    const run = await runCli([...training('poisoned', 'nan-eval'), '--eval-data', at('held.jsonl')])
    expectFailure(run, /the loss of row 2 of the rows to evaluate on is NaN/)
  })

  it('from a rate beyond all reason is told as one', async () => {
    const args = training('model', 'wild').map((word) => (word === '1e-2' ? '1e38' : word))
    const run = await runCli([...args, '--optimizer', 'sgd', '--warmup', '0'])
    expectFailure(run, /step \d: (the loss is not a number|the gradient norm is)/)
    expectFailure(run, /lower the learning rate/)
  })
})

describe('an adapter to start from or to use', () => {
  beforeAll(async () => {
    await succeed([...training('model', 'adapter'), '--rank', '4'])
  })

  /** A changed copy of the trained adapter. */
  function spoilt(name: string, change: (folder: string) => void): string {
    cpSync(at('adapter'), at(name), { recursive: true })
    change(at(name))
    return at(name)
  }
  const config = (folder: string, fields: object): void => {
    const file = join(folder, 'adapter_config.json')
    writeJson(file, { ...(JSON.parse(readFileSync(file, 'utf8')) as object), ...fields })
  }

  it.each([
    ['of a wider base', 'wider', () => undefined, /made for another base/],
    [
      'of a shallower base',
      'deeper',
      (f: string) => config(f, { target_modules: ['q_proj', 'nothing'] }),
      /does not fit/,
    ],
    ['whose rank is not its file’s', 'model', (f: string) => config(f, { r: 8 }), /says rank 8, the file holds rank 4/],
    ['of rank 0', 'model', (f: string) => config(f, { r: 0 }), /adapter_config\.json.*\br\b/],
    ['of another method', 'model', (f: string) => config(f, { peft_type: 'IA3' }), /IA3/],
    ['with a field that is not built', 'model', (f: string) => config(f, { use_qalora: true }), /use_qalora/],
    [
      'named as torch’s own file',
      'model',
      (f: string) => renameSync(join(f, 'adapter_model.safetensors'), join(f, 'adapter_model.bin')),
      /adapter_model\.bin is no torch file/,
    ],
    [
      'whose pickle runs a command',
      'model',
      (f: string) => {
        rmSync(join(f, 'adapter_model.safetensors'))
        copyFileSync(hostile, join(f, 'adapter_model.bin'))
      },
      /adapter_model\.bin: its pickle asks for \w+\.system, .*nothing was run/,
    ],
    [
      'without its tensors',
      'model',
      (f: string) => rmSync(join(f, 'adapter_model.safetensors')),
      /adapter_model\.safetensors/,
    ],
    ['without its config', 'model', (f: string) => rmSync(join(f, 'adapter_config.json')), /adapter_config\.json/],
    [
      'that is cut short',
      'model',
      (f: string) => truncateSync(join(f, 'adapter_model.safetensors'), 3000),
      /adapter_model\.safetensors/,
    ],
  ])('%s is refused', async (what, model, change, says) => {
    const adapter = spoilt(what.replace(/\W/g, '-'), change)
    const output = `from-${what.replace(/\W/g, '-')}`
    await refuse([...training(model, output), '--adapter', adapter], { exit: 1, says, untouched: at(output) })
    const base = ['--model', at(model), '--adapter', adapter]
    await refuse(['eval', ...base, '--data', at('rows.jsonl')], { exit: 1, says })
    await refuse(['merge', ...base, '--output', at(output)], { exit: 1, says, untouched: at(output) })
    await refuse(['generate', ...base, '--ids', '1,2'], { exit: 1, says })
  })

  it('that a flag contradicts, or that is not there', async () => {
    const start = [...training('model', 'no'), '--adapter']
    await refuse([...start, at('adapter'), '--rank', '8'], {
      ...{
        exit: 2,
        code: 'usage',
        says: /--rank asks for 8, but the adapter in .*adapter has r 4/,
        untouched: at('no'),
      },
    })
    await refuse([...start, at('nothing')], { exit: 1, code: 'missing', says: /nothing/, untouched: at('no') })
    await refuse([...start, at('rows.jsonl')], { exit: 1, says: /rows\.jsonl/, untouched: at('no') })
  })
})

const mounted: string[] = []
afterAll(() => {
  for (const folder of mounted) execFileSync('umount', [folder])
})

/** Mounts a file system of so many bytes, or answers undefined where that is not ours to do. */
function tinyDisk(name: string, size: string): string | undefined {
  const folder = at(name)
  mkdirSync(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  mounted.push(folder)
  return folder
}

describe('a run that cannot begin', () => {
  it('leaves no folder, and leaves the run it was to replace', async () => {
    await refuse([...training('model', 'bf16'), '--dtype', 'bf16'], {
      ...{ exit: 1, code: 'unsupported', says: /--dtype bf16: the engines train in f32/, untouched: at('bf16') },
    })
    await succeed(training('model', 'former'))
    const before = snapshot(at('former'))
    for (const flags of [
      ['--dtype', 'bf16'],
      ['--rank', '999'],
      ['--adapter', at('nothing')],
    ]) {
      const { code } = await runCli([...training('model', 'former'), '--overwrite', ...flags])
      expect([code, snapshot(at('former'))], flags.join(' ')).toEqual([1, before])
    }
  })
})

describe('a disk', () => {
  it('that fills up during a checkpoint loses nothing, and the run goes on when there is room', async ({ skip }) => {
    const disk = tinyDisk('disk', '256k')
    if (disk === undefined) return skip('mounting a file system is not allowed here')
    const args = training('model', join('disk', 'run'))
    expectFailure(await runCli(args), /cannot write .*: the disk is full/)
    const kept = checkpoints(join('disk', 'run'))
    expect(kept.length).toBeGreaterThan(0)
    expect(readdirSync(join(disk, 'run')).filter((name) => name.endsWith('.tmp'))).toEqual([])
    execFileSync('mount', ['-o', 'remount,size=8m', disk])
    const { events } = await succeed([...args, '--resume'])
    expect(events.find(({ type }) => type === 'resume')).toMatchObject({ step: kept.length })
    await succeed(training('model', 'roomy'))
    const file = 'adapter_model.safetensors'
    expect(sha256(join(disk, 'run', file))).toBe(sha256(at('roomy', file)))
    expect(steadyLog(join(disk, 'run'))).toEqual(steadyLog(at('roomy')))
  })

  it('that is full or read-only is told at once', async ({ skip }) => {
    const disk = tinyDisk('readonly', '1m')
    if (disk === undefined) return skip('mounting a file system is not allowed here')
    mkdirSync(join(disk, 'empty'))
    execFileSync('mount', ['-o', 'remount,ro', disk])
    const says = /the file system is read-only/
    for (const output of ['empty', 'new'])
      await refuse(training('model', join('readonly', output)), { exit: 1, code: 'io', says, untouched: disk })
    await succeed(training('model', 'writable'))
    const merging = ['merge', '--adapter', at('writable'), '--output', join(disk, 'merged')]
    await refuse(merging, { exit: 1, code: 'io', says, untouched: disk })
  })

  it('too small for a merged model is told, and nothing half-written stays', async ({ skip }) => {
    const disk = tinyDisk('crowded', '32k')
    if (disk === undefined) return skip('mounting a file system is not allowed here')
    await succeed(training('model', 'roomy-too'))
    const merging = ['merge', '--adapter', at('roomy-too'), '--output', join(disk, 'merged')]
    await refuse(merging, { exit: 1, code: 'io', says: /the disk is full/, untouched: disk })
    // Not even a lock has room: the run says so and leaves nothing.
    execFileSync('sh', ['-c', `head -c 60000 /dev/zero > ${join(disk, 'fill')} || true`])
    const { code, stderr } = await runCli(training('model', join('crowded', 'run')))
    expect(stderr).toMatch(/the disk is full/)
    expect(code).toBe(1)
    expect(readdirSync(disk)).toEqual(['fill'])
  })

  it('whose output is below a file is refused', async () => {
    const args = training('model', join('rows.jsonl', 'run'))
    await refuse(args, { exit: 1, says: /rows\.jsonl/, untouched: at('rows.jsonl') })
    await refuse(training('model', 'rows.jsonl'), {
      exit: 2,
      says: /rows\.jsonl is a file/,
      untouched: at('rows.jsonl'),
    })
  })
})

function checkpoints(run: string): string[] {
  return readdirSync(at(run))
    .filter((name) => name.startsWith('checkpoint-'))
    .sort()
}
