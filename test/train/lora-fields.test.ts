/**
 * @file Runs with LoraConfig's other fields, on a tiny model: left and resumed bit for bit, evaluated, and opened by real
 * PEFT with the same loss where a Python with it is found (LOWRANK_PYTHON names it).
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { evaluate } from '../../src/run/evaluate.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import type { TrainEvent } from '../../src/run/types.ts'
import { pythonWith } from '../setup/python.ts'
import { type Json, tinyLlama, writeJson, writeRows, writeTinyModel } from '../setup/tiny-model.ts'
import { TORCH } from '../tolerances.ts'

const lab = mkdtempSync(join(tmpdir(), 'lowrank-fields-'))
afterAll(() => rmSync(lab, { recursive: true, force: true }))
const at = (...parts: string[]): string => join(lab, ...parts)
const STEPS = 6

/** A case's folder has `model/` and `train.jsonl`, as scripts/goldens/peft_open.py wants it. */
const cases: Record<string, Json> = { plain: tinyLlama, tied: { ...tinyLlama, tie_word_embeddings: true } }
const invocation = [7, 8]

beforeAll(async () => {
  for (const [name, config] of Object.entries(cases)) {
    mkdirSync(at(name))
    await writeTinyModel(at(name, 'model'), config)
    const ids = (i: number): number[] => Array.from({ length: 4 + ((i * 5) % 6) }, (_, t) => 10 + i + t)
    // Two rows of three call the adapter that waits for it.
    const rows = Array.from({ length: 9 }, (_, i) =>
      i % 3 === 0 ? ids(i) : [...ids(i).slice(0, i % 4), ...invocation, ...ids(i)],
    )
    writeRows(
      at(name, 'train.jsonl'),
      rows.map((row) => ({ input_ids: row, labels: row })),
    )
  }
})

interface Kind {
  readonly name: string
  readonly base: 'plain' | 'tied'
  readonly options: Partial<TrainOptions>
  /** Of `--lora-config`. */
  readonly fields?: object
}

const kinds: Kind[] = [
  { name: 'LoRA+', base: 'plain', options: { loraPlusRatio: 8, targets: ['embed_tokens', 'q_proj'] } },
  { name: 'LoRA-FA', base: 'plain', options: { loraFa: true, weightDecay: 0.1 } },
  { name: 'activated', base: 'plain', options: {}, fields: { alora_invocation_tokens: invocation } },
  {
    name: 'packed and activated',
    base: 'plain',
    options: { packing: true, maxLength: 24 },
    fields: { alora_invocation_tokens: invocation },
  },
  {
    name: 'parameters',
    base: 'tied',
    options: {},
    fields: { target_parameters: ['q_proj.weight', 'embed_tokens.weight'] },
  },
  {
    name: 'replicated',
    base: 'plain',
    options: { modulesToSave: ['norm'], targets: ['q_proj'] },
    fields: {
      layer_replication: [
        [0, 2],
        [1, 2],
      ],
    },
  },
  {
    name: 'tied factors',
    base: 'tied',
    options: { targets: ['lm_head', 'v_proj'] },
    fields: { ensure_weight_tying: true },
  },
  {
    name: 'a tied copy',
    base: 'tied',
    options: { targets: ['v_proj'], modulesToSave: ['embed_tokens'] },
    fields: { ensure_weight_tying: true },
  },
]

const output = (name: string, part = 'whole'): string => at(`${name}-${part}`)

function optionsOf({ name, base, options, fields }: Kind): TrainOptions {
  const loraConfig = fields ? { loraConfig: writeJson(at(`${name}.json`), fields) } : {}
  const common = {
    model: at(base, 'model'),
    data: at(base, 'train.jsonl'),
    steps: STEPS,
    batchSize: 9, // every row each step: losses compare
    engine: 'reference' as const,
    rank: 2,
    saveEvery: 2,
  }
  return { ...common, learningRate: 0.05, samples: 0, logEvery: 1, ...options, ...loraConfig }
}

async function run(options: TrainOptions, leaveAt?: number): Promise<TrainEvent[]> {
  const events: TrainEvent[] = []
  for await (const event of train(options)) {
    events.push(event)
    if (event.type === 'step' && event.step === leaveAt) break
  }
  return events
}

describe.each(kinds)('a run with $name', (kind) => {
  it('lowers the loss, and goes on as if it had not been left', async () => {
    const events = await run({ ...optionsOf(kind), output: output(kind.name) })
    const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []))
    expect(losses.length).toBe(STEPS)
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0)
    const again = { ...optionsOf(kind), output: output(kind.name, 'resumed') }
    await run(again, 3)
    await run({ ...again, resume: true })
    const [whole, resumed] = ['whole', 'resumed'].map((part) =>
      readFileSync(join(output(kind.name, part), 'adapter_model.safetensors')),
    )
    expect(resumed?.equals(whole ?? Buffer.alloc(0))).toBe(true)
  })
})

describe('what was trained', () => {
  it('LoRA-FA: B and no A', async () => {
    const steps = (n: number) =>
      readSafetensors(join(output('LoRA-FA'), `checkpoint-${n}`, 'adapter_model.safetensors'))
    const [early, late] = [await steps(2), await steps(6)]
    for (const [key, value] of early) {
      const same = String(late.get(key)?.data) === String(value.data)
      expect(same, key).toBe(key.includes('lora_A'))
    }
  })

  it('activated: says how many rows it waits in vain for', async () => {
    const [activated] = kinds.filter(({ name }) => name === 'activated')
    if (!activated) throw new Error('no such run')
    const events = await run({ ...optionsOf(activated), output: output('activated', 'told') }, 1)
    const said = events.flatMap((event) => (event.type === 'notice' ? [event.message] : []))
    expect(said).toContain('alora_invocation_tokens: 6 of 9 rows hold 7, 8; the others train nothing')
    const never = {
      ...optionsOf({ ...activated, name: 'never', fields: { alora_invocation_tokens: [200, 201] } }),
      output: output('never'),
    }
    await expect(run(never)).rejects.toMatchObject({ code: 'data', message: /no row holds the tokens 200, 201/ })
  })

  it('a flag beside a file: targets are added to its parameters', async () => {
    const fields = { target_parameters: ['o_proj.weight'] }
    const kind: Kind = { name: 'both', base: 'plain', options: { targets: ['q_proj'] }, fields }
    await run({ ...optionsOf(kind), output: output('both'), steps: 1 })
    const keys = [...(await readSafetensors(join(output('both'), 'adapter_model.safetensors'))).keys()]
    expect(
      keys
        .filter((key) => key.includes('layers.0'))
        .map((key) => key.split('.').slice(-3).join('.'))
        .sort(),
    ).toEqual([...['o_proj.lora_A.weight', 'o_proj.lora_B.weight', 'q_proj.lora_A.weight', 'q_proj.lora_B.weight']])
  })
})

const python = pythonWith('peft')

describe.skipIf(!python)('runs in real PEFT', () => {
  it('open with the same loss, key for key', async () => {
    const script = fileURLToPath(new URL('../../scripts/goldens/peft_open.py', import.meta.url))
    const pairs = kinds.flatMap(({ name, base }) => [at(base), output(name)])
    const said = execFileSync(python ?? '', [script, ...pairs], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    const lines = said.trim().split('\n')
    expect(lines.length).toBe(kinds.length)
    for (const [i, kind] of kinds.entries()) {
      const { loss, unexpected, onlyOurs, onlyTheirs } = JSON.parse(lines[i] ?? '')
      expect({ unexpected, onlyOurs, onlyTheirs }, kind.name).toEqual({ unexpected: [], onlyOurs: [], onlyTheirs: [] })
      const ours = await evaluate({
        model: at(kind.base, 'model'),
        adapter: [output(kind.name)],
        data: [at(kind.base, 'train.jsonl')],
      })
      expect(Math.abs(ours.loss - loss), kind.name).toBeLessThan(TORCH.loss)
    }
  }, 600_000)
})
