/** @file What a run leaves is used: evaluated, generated from, merged, looked at; the numbers agree with the trainer's. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { pythonWith } from '../setup/python.ts'
import { runCli } from '../setup/run-cli.ts'
import { tinyGpt2, tinyLlama, writeTinyModel } from '../setup/tiny-model.ts'
import { TORCH } from '../tolerances.ts'
import { idRows, labFolder, refuse, rowsFile, sha256, snapshot, succeed, textRows } from './lab.ts'

const lab = labFolder()
const at = (...parts: string[]): string => join(lab, ...parts)
const families = ['llama', 'tied', 'gpt2'] as const
/** Evaluation loss of each run, as its trainer told it. */
const told = new Map<string, number>()

beforeAll(async () => {
  await writeTinyModel(at('llama'))
  await writeTinyModel(at('tied'), { ...tinyLlama, tie_word_embeddings: true })
  await writeTinyModel(at('gpt2'), tinyGpt2)
  rowsFile(lab, textRows(16))
  rowsFile(lab, textRows(5), 'held.jsonl')
  const extra = { llama: ['--dora'], tied: ['--targets', 'q_proj,embed_tokens'], gpt2: ['--bias', 'all'] }
  for (const family of families) {
    const args = ['train', '--model', at(family), '--data', at('rows.jsonl'), '--eval-data', at('held.jsonl')]
    const settings = ['--samples', '0', '--steps', '6', '--learning-rate', '2e-2', '--rank', '4', ...extra[family]]
    const { result } = await succeed([...args, '--output', at(`run-${family}`), ...settings])
    told.set(family, Number(result.evalLoss))
  }
})

const evaluated = async (...args: string[]): Promise<Record<string, unknown>> =>
  (await succeed(['eval', ...args, '--data', at('held.jsonl')])).result

describe.each(families)('a run on %s', (family) => {
  const run = at(`run-${family}`)

  it('has the loss its trainer told, and a base without it another', async () => {
    const result = await evaluated('--adapter', run)
    expect(Object.keys(result).sort()).toEqual(['examples', 'loss', 'perplexity', 'tokens'])
    expect(result.examples).toBe(5)
    expect(Math.abs(Number(result.loss) - (told.get(family) ?? 0))).toBeLessThan(TORCH.loss)
    expect(Number(result.perplexity)).toBeCloseTo(Math.exp(Number(result.loss)), 6)
    const base = await evaluated('--model', at(family))
    expect(Math.abs(Number(base.loss) - Number(result.loss))).toBeGreaterThan(1e-2)
    const off = ['--model', at(family), '--adapter', `a=${run}:0`]
    if (family === 'tied')
      expect(Math.abs(Number((await evaluated(...off)).loss) - Number(base.loss))).toBeLessThan(1e-6)
    // Half a DoRA, or half a replaced bias, is nothing PEFT has a meaning for.
    else await refuse(['eval', ...off, '--data', at('held.jsonl')], { exit: 2, says: /acts in full or not at all/ })
  })

  it('merges into a model with the same loss and the same text', async () => {
    const merged = at(`merged-${family}`)
    const { result } = await succeed(['merge', '--adapter', run, '--output', merged])
    expect(result).toMatchObject({ output: merged, dtype: 'f32' })
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
      expect(existsSync(join(merged, name)), name).toBe(true)
    expect(existsSync(join(merged, 'adapter_config.json'))).toBe(false)
    const loss = Number((await evaluated('--model', merged)).loss)
    expect(Math.abs(loss - (told.get(family) ?? 0))).toBeLessThan(TORCH.merged)
    const prompt = ['--prompt', 'row 3', '--max-tokens', '8']
    const [with_, without] = [
      await succeed(['generate', '--adapter', run, ...prompt]),
      await succeed(['generate', '--model', merged, ...prompt]),
    ]
    expect(with_.result.ids).toEqual(without.result.ids)
    await refuse(['merge', '--adapter', run, '--output', merged], { exit: 2, says: /not empty/, untouched: merged })
  })

  it('is told for what it is', async () => {
    const { result } = await succeed(['inspect', run])
    expect(result).toMatchObject({ kind: 'run', architecture: 'LORA', path: run, dtype: 'f32' })
    expect(result.trainable).toBe(result.parameters)
    expect(result.run).toMatchObject({ steps: 6, totalSteps: 6, checkpoints: expect.arrayContaining([6]) })
    expect(result.adapter).toMatchObject({ rank: 4, alpha: 16, base: at(family) })
    const model = await succeed(['inspect', at(family)])
    const architecture = family === 'gpt2' ? 'GPT2LMHeadModel' : 'LlamaForCausalLM'
    expect(model.result).toMatchObject({ kind: 'model', architecture, model: { supported: true, tokenizer: true } })
    const checkpoint = await succeed(['inspect', join(run, 'checkpoint-6')])
    expect(checkpoint.result).toMatchObject({ kind: 'checkpoint' })
    const file = await succeed(['inspect', join(run, 'adapter_model.safetensors'), '--tensors'])
    expect(file.result).toMatchObject({ kind: 'safetensors', architecture: null })
    expect(file.result.list).toHaveLength(Number(file.result.tensors))
    const page = await runCli(['inspect', run])
    expect(page.stdout).toMatch(/rank 4/)
    expect(page.stderr).toBe('')
  })
})

describe('eval', () => {
  it('gives a loss a row, in the order of the file, whatever the batches', async () => {
    const rows = [{ input_ids: [1, 2, 3, 4, 5, 6] }, { input_ids: [7, 8] }, ...idRows(3)]
    rowsFile(lab, rows, 'ids.jsonl')
    const one = ['eval', '--model', at('llama'), '--data', at('ids.jsonl'), '--per-example']
    const [small, large] = [
      await succeed([...one, '--batch-size', '1', '--engine', 'reference']),
      await succeed([...one, '--batch-size', '8']),
    ]
    const losses = small.result.losses as number[]
    const labels = rows.map((row) => row.input_ids.length - 1)
    const total = labels.reduce((a, b) => a + b, 0)
    expect(small.result).toMatchObject({ tokens: total, examples: rows.length })
    const mean = losses.reduce((sum, loss, i) => sum + loss * (labels[i] ?? 0), 0) / total
    expect(mean).toBeCloseTo(Number(small.result.loss), 6)
    ;(large.result.losses as number[]).forEach((loss, i) => {
      expect(Math.abs(loss - (losses[i] ?? 0))).toBeLessThan(TORCH.loss)
    })
  })

  it('takes several adapters with weights', async () => {
    await succeed([
      ...['train', '--model', at('llama'), '--data', at('rows.jsonl'), '--steps', '6', '--learning-rate', '2e-2'],
      ...['--output', at('plain'), '--targets', 'q_proj,up_proj'],
    ])
    const model = ['--model', at('llama')]
    const loss = async (...args: string[]): Promise<number> => Number((await evaluated(...model, ...args)).loss)
    const whole = await loss('--adapter', at('plain'))
    const halves = await loss('--adapter', `a=${at('plain')}:0.5`, '--adapter', `b=${at('plain')}:0.5`)
    expect(Math.abs(whole - halves)).toBeLessThan(TORCH.loss)
    const off = await loss('--adapter', `a=${at('plain')}:0`)
    expect(Math.abs(off - (await loss()))).toBeLessThan(1e-6)
    await refuse(
      ['eval', ...model, '--adapter', `a=${at('plain')}`, '--adapter', `a=${at('plain')}`, '--data', at('rows.jsonl')],
      {
        ...{ exit: 2, says: /two adapters are named a/ },
      },
    )
  })
})

describe('generate', () => {
  it('answers ids, text and why it ended, and repeats itself with a seed', async () => {
    const args = ['generate', '--model', at('llama'), '--ids', '1,2,3', '--max-tokens', '5']
    const { result, events } = await succeed(args)
    expect(Object.keys(result).sort()).toEqual(['finishReason', 'ids', 'text', 'tokensPerSecond'])
    expect((result.ids as number[]).length).toBeLessThanOrEqual(5)
    expect(
      events
        .filter(({ type }) => type === 'token')
        .map(({ text }) => text)
        .join(''),
    ).toBe(result.text)
    const sampled = [...args, '--temperature', '1.5', '--seed', '3']
    const [a, b] = [await succeed(sampled), await succeed(sampled)]
    expect(a.result.ids).toEqual(b.result.ids)
    const plain = await runCli(args)
    expect(plain.stdout.trimEnd()).toBe(String(result.text).trimEnd())
    expect(plain.stderr).toMatch(/tokens\/s/)
  })

  it('refuses what it cannot mean', async () => {
    const model = ['generate', '--model', at('llama')]
    await refuse(model, { exit: 2, says: /--prompt.*--ids/ })
    await refuse([...model, '--ids', '1,900'], { exit: 1, says: /900/ })
    await refuse([...model, '--ids', '1,x'], { exit: 2, says: /--ids/ })
    await refuse([...model, '--prompt', 'a', '--temperature', '-1'], { exit: 2, says: /--temperature/ })
    await refuse([...model, '--prompt', 'a', '--adapter', at('nothing')], { exit: 1, says: /nothing/ })
    await refuse([...model, '--prompt', 'a'.repeat(300)], { exit: 2, says: /300 tokens.* 64/ })
  })
})

describe('a base', () => {
  it('that is not where the adapter says is asked for', async () => {
    const args = [
      'train',
      '--model',
      'llama',
      '--data',
      'rows.jsonl',
      '--output',
      'relative',
      '--steps',
      '1',
      '--samples',
      '0',
    ]
    await succeed(args, { cwd: lab })
    await succeed(['eval', '--adapter', 'relative', '--data', 'held.jsonl'], { cwd: lab })
    const says = [/relative was made for llama, which is not there/, /name the model/]
    await refuse(
      ['eval', '--adapter', at('relative'), '--data', at('held.jsonl')],
      { exit: 1, code: 'missing', says },
      { cwd: '/' },
    )
  })
})

describe('merge', () => {
  it('never takes away what it reads', async () => {
    const before = snapshot(at('llama'))
    const args = ['merge', '--adapter', at('run-llama'), '--output', at('llama'), '--overwrite']
    await refuse(args, { exit: 2, says: /llama/, untouched: at('llama') })
    expect(snapshot(at('llama'))).toBe(before)
    await refuse(['merge', '--model', at('llama'), '--output', at('x')], { exit: 2, says: /merge needs --adapter/ })
  })

  const python = pythonWith('torch', 'transformers', 'peft')
  it.skipIf(python === undefined)('is a model for transformers, and the run one for PEFT', async () => {
    const rows = readFileSync(at('ids.jsonl'), 'utf8').trim().split('\n')
    const script = `
import json, sys, warnings, torch
from transformers import AutoModelForCausalLM
from peft import PeftModel
warnings.filterwarnings("error", message=".*adapter keys.*")
rows = [json.loads(line)["input_ids"] for line in json.loads(sys.argv[1])]
def loss(model):
    total, count = 0.0, 0
    for ids in rows:
        ids = torch.tensor([ids])
        n = ids.shape[1] - 1
        total += model(ids, labels=ids).loss.item() * n
        count += n
    return total / count
out = {}
for family in ["llama", "tied", "gpt2"]:
    merged = AutoModelForCausalLM.from_pretrained(f"{sys.argv[2]}/merged-{family}").eval()
    base = AutoModelForCausalLM.from_pretrained(f"{sys.argv[2]}/{family}")
    out[family] = [loss(merged), loss(PeftModel.from_pretrained(base, f"{sys.argv[2]}/run-{family}").eval())]
print(json.dumps(out))`
    const stdout = execFileSync(python ?? '', ['-c', script, JSON.stringify(rows), lab], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const found = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, [number, number]>
    for (const family of families) {
      const ours = await succeed(['eval', '--adapter', at(`run-${family}`), '--data', at('ids.jsonl')])
      const [merged, tuned] = found[family] ?? [0, 0]
      expect(Math.abs(tuned - Number(ours.result.loss)), `${family} in PEFT`).toBeLessThan(TORCH.loss)
      expect(Math.abs(merged - Number(ours.result.loss)), `${family} merged`).toBeLessThan(TORCH.merged)
    }
    expect(sha256(at('run-llama', 'adapter_config.json'))).toBeTypeOf('string')
  })
})
