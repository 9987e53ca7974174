/** @file A run that is killed again and again ends where an unkilled one ends, bit for bit; and who may write where. */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { RandomStream } from '../../src/support/random.ts'
import { bin, type CliOptions, runCli } from '../setup/run-cli.ts'
import { tinyLlama, writeTinyModel } from '../setup/tiny-model.ts'
import { labFolder, refuse, rowsFile, sha256, snapshot, steadyLog, succeed, textRows } from './lab.ts'

const lab = labFolder()
let spoiled = 0
const at = (...parts: string[]): string => join(lab, ...parts)

beforeAll(async () => {
  await writeTinyModel(at('model'), { ...tinyLlama, hidden_size: 32 })
  rowsFile(lab, textRows(40))
  rowsFile(lab, textRows(3), 'held.jsonl')
})

/** A run with everything in it that a resumed run has to find again. */
function training(engine: string, steps: number, output: string): string[] {
  return [
    ...['train', '--model', at('model'), '--data', at('rows.jsonl'), '--eval-data', at('held.jsonl')],
    ...['--output', at(output), '--steps', String(steps), '--engine', engine, '--threads', '1'],
    ...['--dropout', '0.1', '--packing', '--max-length', '30', '--batch-size', '2', '--grad-accumulation', '2'],
    ...[
      '--samples',
      '0',
      '--save-every',
      '3',
      '--eval-every',
      '4',
      '--log-every',
      '2',
      '--learning-rate',
      '1e-2',
      '--seed',
      '7',
    ],
  ]
}

/** Starts a command, kills it when `when` resolves, and answers whether the kill came before its end. */
async function killed(args: readonly string[], when: (child: ChildProcess) => Promise<void>): Promise<boolean> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<NodeJS.Signals | null>((resolve) => {
    child.on('close', (_, signal) => resolve(signal))
  })
  const after = when(child).then(() => child.kill('SIGKILL'))
  const signal = await ended
  await after
  return signal === 'SIGKILL'
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** After `count` step events, or at the end of the output. */
const steps = (count: number) => (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    let seen = 0
    child.stdout?.on('data', (chunk) => {
      seen += String(chunk).split('"type":"step"').length - 1
      if (seen >= count) resolve()
    })
    child.on('close', () => resolve())
  })

/** At the moment something of that name is seen in a folder. */
const appearing = (run: string, prefix: string) => async (child: ChildProcess) => {
  child.stdout?.resume()
  let running = true
  child.on('close', () => {
    running = false
  })
  while (running && !names(run).some((name) => name.startsWith(prefix))) await pause(0)
}

/** Presses Ctrl-C, once, when a text appears. */
function interruptAt(text: string): NonNullable<CliOptions['onStderr']> {
  let pressed = false
  return (seen, kill) => {
    if (pressed || !seen.includes(text)) return
    pressed = true
    kill('SIGINT')
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

describe.each(['reference', 'onnxruntime'])('a run on %s killed 12 times', (engine) => {
  it('gives the adapter and the log of a run that was left alone', { timeout: 240_000 }, async () => {
    const length = 45
    const [whole, broken] = [`whole-${engine}`, `broken-${engine}`]
    await succeed(training(engine, length, whole))
    const random = new RandomStream(engine.length, 'kills')
    const args = [...training(engine, length, broken), '--resume', '--json']
    let kills = 0
    // First moments: before anything stands in the folder, while it is being made, and early in the first steps.
    for (const early of [60, 250, 400]) if (await killed(args, () => pause(early))) kills++
    while (kills < 12) {
      const moment = kills % 3 === 2 ? appearing(at(broken), '.checkpoint-') : steps(1 + random.below(4))
      const was = await killed(args, async (child) => {
        await moment(child)
        await pause(random.below(12))
      })
      expect(was, `kill ${kills + 1} came after the end`).toBe(true)
      kills++
    }
    // Once more while the result is being written, after the last step; the run may just have ended.
    await killed(args, appearing(at(broken), 'README.md'))
    await succeed(args.slice(0, -1))
    const file = 'adapter_model.safetensors'
    expect(sha256(at(broken, file))).toBe(sha256(at(whole, file)))
    expect(steadyLog(at(broken))).toEqual(steadyLog(at(whole)))
    const rest = (folder: string): string[] => names(at(folder)).sort()
    expect(rest(broken)).toEqual(rest(whole))
  })
})

describe.each(['reference', 'onnxruntime'])('Ctrl-C on %s', (engine) => {
  it('saves, says how to go on, ends with 130, and the run goes on bit for bit', async () => {
    const [stopped, whole] = [`stopped-${engine}`, `unstopped-${engine}`]
    const seen = await runCli(training(engine, 30, stopped), {
      onStderr: interruptAt('step 4/'),
    })
    expect(seen.code, seen.stderr).toBe(130)
    expect(seen.stderr).toContain('stopping, after saving what is done')
    expect(seen.stdout).toContain(`lowrank train --resume --output ${at(stopped)}`)
    const saved = Math.max(...names(at(stopped)).flatMap((n) => Number(/^checkpoint-(\d+)$/.exec(n)?.[1] ?? -1)))
    expect(saved).toBeGreaterThanOrEqual(4)
    expect(saved).toBeLessThan(30)
    expect(names(at(stopped))).not.toContain('.lowrank.lock')
    await succeed(training(engine, 30, whole))
    const { events } = await succeed(['train', '--resume', '--output', at(stopped)])
    expect(events.find(({ type }) => type === 'resume')).toMatchObject({ step: saved })
    expect(sha256(at(stopped, 'adapter_model.safetensors'))).toBe(sha256(at(whole, 'adapter_model.safetensors')))
    expect(steadyLog(at(stopped))).toEqual(steadyLog(at(whole)))
  })
})

describe('Ctrl-C before the first step', () => {
  it('ends with 130 in one line, and the run can be begun again', async () => {
    const seen = await runCli(training('onnxruntime', 20, 'early'), {
      onStderr: interruptAt('writes'),
    })
    expect(seen.code, seen.stderr).toBe(130)
    expect(seen.stderr).not.toMatch(/^\s+at |fault of lowrank/m)
    expect(names(at('early'))).not.toContain('.lowrank.lock')
    const { result } = await succeed(['train', '--resume', '--output', at('early')])
    expect(result.steps).toBe(20)
  })
})

describe('a reader that goes away', () => {
  it('stops the run after saving', async () => {
    const child = spawn(process.execPath, [bin, ...training('onnxruntime', 5000, 'unread'), '--json'])
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
    await steps(2)(child)
    child.stdout.destroy()
    expect([0, 130]).toContain(await ended)
    expect(names(at('unread'))).toContain('run.yaml')
    expect(names(at('unread')).filter((name) => name.startsWith('checkpoint-')).length).toBeGreaterThan(0)
    expect(names(at('unread'))).not.toContain('.lowrank.lock')
  })
})

describe('an output folder', () => {
  it('that holds a run is refused untouched without --resume, and a finished one is left alone with it', async () => {
    const args = training('onnxruntime', 4, 'once')
    await succeed(args)
    const before = snapshot(at('once'))
    await refuse(args, {
      exit: 2,
      code: 'usage',
      says: [/once holds files already/, /--resume/],
      untouched: at('once'),
    })
    const { result, events } = await succeed([...args, '--resume'])
    expect(result).toMatchObject({ output: at('once'), steps: 4 })
    expect(events).toContainEqual({ type: 'notice', message: expect.stringMatching(/is finished \(4 steps\)/) })
    expect(snapshot(at('once'))).toBe(before)
    await refuse([...args, '--resume', '--rank', '4'], { exit: 2, says: /rank is 4/, untouched: at('once') })
    await refuse(['train', '--resume', '--output', at('once'), '--learning-rate', '1'], {
      ...{ exit: 2, code: 'usage', says: /learning-rate is 1, but the run in .* has 0.01/, untouched: at('once') },
    })
  })

  it('is replaced with --overwrite, and a longer --steps goes on', async () => {
    await succeed(training('onnxruntime', 4, 'again'))
    const { result } = await succeed([...training('onnxruntime', 6, 'again'), '--overwrite'])
    expect(result).toMatchObject({ steps: 6 })
    const longer = await succeed(['train', '--resume', '--output', at('again'), '--steps', '8'])
    expect(longer.result).toMatchObject({ steps: 8 })
    expect(longer.events.find(({ type }) => type === 'resume')).toMatchObject({ step: 6 })
  })

  it('that is or holds an input is never cleared', async () => {
    const model = training('onnxruntime', 2, 'model')
    await refuse([...model, '--overwrite'], {
      exit: 2,
      says: /model holds .*model, which the run reads/,
      untouched: at('model'),
    })
    const data = training('onnxruntime', 2, '').map((word) => (word === at('') ? at('once') : word))
    rowsFile(at('once'), textRows(4), 'mine.jsonl')
    const inside = data.map((word) => (word === at('rows.jsonl') ? at('once', 'mine.jsonl') : word))
    await refuse([...inside, '--overwrite'], { exit: 2, says: /mine\.jsonl/, untouched: at('once') })
  })

  it('has one writer: the second is refused, the first goes on', async () => {
    const first = spawn(process.execPath, [bin, ...training('reference', 5000, 'shared'), '--json'])
    try {
      await steps(2)(first)
      await refuse([...training('reference', 5000, 'shared'), '--resume'], {
        ...{ exit: 1, code: 'locked', says: [/shared is in use by process \d+/] },
      })
      expect(first.exitCode).toBeNull()
    } finally {
      first.kill('SIGKILL')
      await new Promise((resolve) => first.on('close', resolve))
    }
  })

  it('whose lock is of a dead process is taken over', async () => {
    const args = training('onnxruntime', 6, 'stale')
    expect(await killed([...args, '--json'], steps(4))).toBeTypeOf('boolean')
    const dead = spawn(process.execPath, ['-e', ''])
    await new Promise((resolve) => dead.on('close', resolve))
    // The log's last line is torn, as a kill may leave it.
    appendFileSync(at('stale', 'trainer_log.jsonl'), '{"step":4,"los')
    writeFileSync(at('stale', '.lowrank.lock'), JSON.stringify({ pid: dead.pid, host: hostname(), started: '' }))
    const { result } = await succeed([...args, '--resume'])
    expect(result).toMatchObject({ steps: 6 })
    expect(names(at('stale'))).not.toContain('.lowrank.lock')
    expect(steadyLog(at('stale')).map(({ step }) => step)).toEqual([2, 4, 4, 6, 6])
  })

  it('that holds nothing to resume yet starts at 0 and says so', async () => {
    const { events } = await succeed([...training('onnxruntime', 2, 'fresh'), '--resume'])
    expect(events.find(({ type }) => type === 'resume')).toMatchObject({
      ...{ step: 0, message: expect.stringMatching(/no checkpoint yet: starting at step 0/) },
    })
    await refuse(['train', '--resume', '--output', at('nothing')], {
      ...{ exit: 2, says: /nothing: there is no run to resume yet/, untouched: at('nothing') },
    })
  })

  it.each([
    ['optimizer.safetensors', (file: string) => truncateSync(file, 2000)],
    ['optimizer.safetensors', (file: string) => rmSync(file)],
    ['trainer_state.json', (file: string) => writeFileSync(file, '{"format": 1, "step": 4}')],
    ['trainer_state.json', (file: string) => truncateSync(file, 40)],
  ])('whose newest checkpoint has a broken %s is not begun anew in silence', async (name, spoil) => {
    const output = `broken-${spoiled++}`
    await succeed(training('onnxruntime', 4, output))
    spoil(at(output, 'checkpoint-4', name))
    const args = ['train', '--resume', '--output', at(output), '--steps', '6']
    const says = new RegExp(`checkpoint-4/${name}`)
    await refuse(args, { exit: 1, says, untouched: at(output, 'checkpoint-4') })
    expect(names(at(output))).toEqual(expect.arrayContaining(['checkpoint-3', 'adapter_model.safetensors']))
  })

  it('whose rows changed meanwhile is not gone on with', async () => {
    const other = rowsFile(lab, textRows(40), 'changing.jsonl')
    const args = training('onnxruntime', 4, 'changed').map((word) => (word === at('rows.jsonl') ? other : word))
    await succeed(args)
    writeFileSync(other, readFileSync(other, 'utf8').replace('row 3', 'row x'))
    await refuse(['train', '--resume', '--output', at('changed'), '--steps', '6'], {
      ...{ exit: 2, says: /other settings or other rows/ },
    })
  })
})
