/** The verbs as people use them, on a tiny model: what is said, where it is said, and what Ctrl-C leaves. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCli } from '../setup/run-cli.ts'
import { writeRows, writeTinyModel } from '../setup/tiny-model.ts'

let folder = ''
let model = ''
let data = ''
const at = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-verbs-'))
  model = await writeTinyModel(at('model'))
  data = writeRows(
    at('rows.jsonl'),
    Array.from({ length: 24 }, (_, i) => ({ prompt: `count ${i} `, completion: `the hen ${i % 3}` })),
  )
  const { code, stderr } = await runCli(['train', ...base(), '--steps', '6', '--log-every', '2', '--output', at('run')])
  expect({ code, stderr }).toEqual({ code: 0, stderr })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const base = (): string[] => ['--model', model, '--data', data, '--batch-size', '4', '--threads', '1']

describe('train', () => {
  it('says what it does on stderr, the result on stdout, and leaves a report with samples', async () => {
    const { code, stdout, stderr } = await runCli([
      'train',
      ...base(),
      '--steps',
      '4',
      '--log-every',
      '2',
      '--output',
      at('said'),
    ])
    expect(code).toBe(0)
    expect(stderr).toMatch(/lora trains .* parameters .* 24 rows, 4 steps; writes /)
    expect(stderr).toMatch(/^step 2\/4 +loss \d\.\d{4} {2}rate .* tokens\/s/m)
    for (const control of ['\x1b', '\r']) expect(stderr).not.toContain(control)
    expect(stdout).toMatch(
      /said {2}loss \d\.\d{4}\n {2}4 steps in .* parameters trained\n {2}curves and numbers: .*report\.html\n$/,
    )
    const report = readFileSync(at('said/report.html'), 'utf8')
    for (const text of ['Loss', 'Gradient norm', 'Samples', 'count 0', 'q_proj']) expect(report).toContain(text)
  })

  it('takes a run file, in which a flag wins, and saves the effective values', async () => {
    const { code, stderr } = await runCli([
      'train',
      '--config',
      at('run/run.yaml'),
      '--steps',
      '2',
      '--rank',
      '3',
      '--output',
      at('again'),
    ])
    expect({ code, stderr }).toEqual({ code: 0, stderr })
    const saved = readFileSync(at('again/run.yaml'), 'utf8')
    expect(saved).toMatch(/^steps: 2$/m)
    expect(saved).toMatch(/^rank: 3$/m)
    expect(saved).toMatch(/^batch-size: 4$/m)
  })

  it('saves on Ctrl-C, exits with 130, and goes on from there', async () => {
    let asked = false
    const stopped = await runCli(
      ['train', ...base(), '--steps', '100000', '--log-every', '1', '--output', at('stopped')],
      {
        onStderr(text, kill) {
          if (asked || !/^step 3\//m.test(text)) return
          asked = true
          kill('SIGINT')
        },
      },
    )
    expect(stopped.code).toBe(130)
    expect(stopped.stderr).toContain('stopping, after saving what is done')
    expect(stopped.stdout).toContain(`lowrank train --resume --output ${at('stopped')}`)
    const done = Number(/^ {2}(\d+) steps in/m.exec(stopped.stdout)?.[1])
    expect(existsSync(at(`stopped/checkpoint-${done}`))).toBe(true)
    const resumed = await runCli(['train', '--resume', '--output', at('stopped'), '--steps', String(done + 2)])
    expect(resumed.stderr).toContain(`going on after step ${done}`)
    expect(resumed.code).toBe(0)
  })
})

describe('convert', () => {
  it('says what a loralib file is, converts it, and says what it took for granted', async () => {
    const file = fileURLToPath(new URL('../goldens/loralib/gpt2-qv.bin', import.meta.url))
    const page = await runCli(['inspect', file])
    expect(page.stdout).toMatch(
      /loralib, LoRA[\s\S]*c_attn × 2[\s\S]*not in it[\s\S]*lowrank convert .* --from loralib/,
    )
    const args = ['convert', file, '--from', 'loralib', '--alpha', '32']
    const plain = await runCli([...args, '--output', at('qv')])
    expect(plain.stdout).toMatch(/qv {2}loralib → peft: 2 modules, 4 tensors, rank 8, alpha 64\n$/)
    expect(plain.stderr).toMatch(/2 fused layers .* taken: true,false,true \(--enable-lora\)/)
    const json = await runCli([...args, '--output', at('qv-json'), '--enable-lora', 'true,true,false', '--json'])
    expect(JSON.parse(json.stdout)).toMatchObject({ from: 'loralib', to: 'peft', modules: 2, rank: 8, alpha: 64 })
    const again = await runCli([...args, '--output', at('qv')])
    expect({ code: again.code, stderr: again.stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/not empty/),
    })
    const without = await runCli(['convert', file, '--from', 'loralib', '--output', at('none')])
    expect(without).toMatchObject({ code: 2, stderr: expect.stringMatching(/--from loralib needs --alpha/) })
  })
})

describe('use', () => {
  it('measures an adapter on the base that it names', async () => {
    const { code, stdout } = await runCli(['eval', '--adapter', at('run'), '--data', data, '--per-example'])
    expect(code).toBe(0)
    const [first, ...rows] = stdout.trimEnd().split('\n')
    expect(first).toMatch(/^loss \d\.\d{4} {2}perplexity \S+ {2}\d+ labelled tokens in 24 rows$/)
    expect(rows).toHaveLength(24)
  })

  it('generates the same text with and without JSON', async () => {
    const args = ['generate', '--adapter', at('run'), '--prompt', 'count 1 ', '--max-tokens', '12', '--ignore-eos']
    const plain = await runCli(args)
    const json = await runCli([...args, '--json'])
    const lines = json.stdout.trim().split('\n')
    const result = JSON.parse(lines.at(-1) ?? '')
    expect(plain.stdout).toBe(`${result.text}\n`)
    expect(result).toMatchObject({ finishReason: 'length' })
    expect(result.ids).toHaveLength(12)
    const streamed = lines.slice(0, -1).map((line) => JSON.parse(line))
    expect(
      streamed
        .filter((event) => event.type === 'token')
        .map((event) => event.text)
        .join(''),
    ).toBe(result.text)
  })

  it('reads a prompt from stdin', async () => {
    const args = ['generate', '--model', model, '--max-tokens', '4', '--json', '--prompt']
    const [piped, given] = [await runCli([...args, '-'], { stdin: 'the hen' }), await runCli([...args, 'the hen'])]
    const ids = (stdout: string): number[] => JSON.parse(stdout.trim().split('\n').at(-1) ?? '').ids
    expect(ids(piped.stdout)).toEqual(ids(given.stdout))
  })

  it('chats with piped input, a turn a line, and remembers', async () => {
    const args = ['chat', '--model', model, '--max-tokens', '3', '--temperature', '0', '--ignore-eos', '--json']
    const turns = async (stdin: string): Promise<number[][]> => {
      const { code, stdout } = await runCli(args, { stdin })
      expect(code).toBe(0)
      return stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter((line) => line.ids)
        .map((line) => line.ids)
    }
    const [first, second] = await turns('hen\nhen\n')
    const fresh = await turns('hen\n/clear\nhen\n')
    expect(fresh).toEqual([first, first])
    expect(second).toHaveLength(3)
    expect(await turns('hen\n/exit\nhen\n')).toEqual([first])
  })

  it('merges into a model folder', async () => {
    const { code, stdout } = await runCli(['merge', '--adapter', at('run'), '--output', at('merged')])
    expect(code).toBe(0)
    expect(stdout).toMatch(/merged {2}14 modules merged, \d+ tensors, f32/)
    expect((await runCli(['inspect', at('merged')])).stdout).toContain('builds it (llama)')
  })
})

describe('inspect', () => {
  it('says of a bottleneck what it is, and nothing of ranks', async () => {
    const folder = fileURLToPath(new URL('../goldens/adapterhub/houlsby/adapter', import.meta.url))
    const { stdout } = await runCli(['inspect', folder])
    expect(stdout).toMatch(/adapter, bottleneck \(AdapterHub\)/)
    expect(stdout).toMatch(/^ {2}base +not named$/m)
    expect(stdout).toMatch(/^ {2}settings +bottleneck 4, after attention and feed-forward, gelu$/m)
    expect(stdout).not.toMatch(/undefined|targets/)
  })

  it.each([
    ['model', 'model', ['model, LlamaForCausalLM', '2 layers of 16, 4 heads (2 key-value)', 'chat template']],
    ['run', 'run', ['run, LORA', 'rank 8, alpha 16', 'q_proj × 2', 'step 6 of 6, loss']],
    ['checkpoint', 'run/checkpoint-6', ['checkpoint, LORA']],
    ['safetensors', 'model/model.safetensors', ['safetensors', 'model.layers.*.mlp.up_proj.weight']],
  ])('knows a %s', async (kind, path, texts) => {
    const { stdout } = await runCli(['inspect', at(path)])
    for (const text of texts) expect(stdout).toContain(text)
    expect(stdout.split('\n').length).toBeLessThan(40)
    const result = JSON.parse((await runCli(['inspect', at(path), '--json'])).stdout)
    expect(result.kind).toBe(kind)
    expect(result.parameters).toBeGreaterThan(0)
    expect(result.tensors).toBeGreaterThan(0)
  })

  it('refuses a folder that is none of these', async () => {
    const { code, stderr } = await runCli(['inspect', folder])
    expect(stderr).toContain(`${folder} is no model, adapter or run`)
    expect(code).toBe(1)
  })
})
