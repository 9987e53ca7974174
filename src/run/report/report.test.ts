import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DataReport } from '../../data/data-report.ts'
import { writeSafetensors } from '../../formats/tensor-files.ts'
import { isLowrankError } from '../../support/errors.ts'
import { f32 } from '../../tensor/host-tensor.ts'
import { readReportData, trainedKinds } from './data.ts'
import { dataSection } from './data-section.ts'
import { escapeHtml, html } from './html.ts'
import { niceScale, smooth, thin } from './scale.ts'
import { parseTrainerLog } from './trainer-log.ts'
import { writeReport } from './write-report.ts'

const chromium = '/usr/bin/chromium'

describe('scale', () => {
  it('puts ticks at round numbers around the values', () => {
    expect(niceScale([0.13, 2.71]).ticks).toEqual([0, 1, 2, 3])
    expect(niceScale([0.1, 0.3]).ticks).toEqual([0.1, 0.15, 0.2, 0.25, 0.3])
    expect(niceScale([0, 2e-4]).ticks).toEqual([0, 5e-5, 1e-4, 1.5e-4, 2e-4])
    expect(niceScale([3, 3])).toMatchObject({ min: 1, max: 5 })
    expect(niceScale([]).ticks.length).toBeGreaterThan(1)
    expect(niceScale([Number.NaN, 1, 2]).ticks).toEqual([1, 1.2, 1.4, 1.6, 1.8, 2])
  })

  it('thins a curve without losing its spikes', () => {
    const points = Array.from({ length: 10_000 }, (_, x) => ({ x, y: x === 4321 ? 99 : Math.sin(x / 500) }))
    const kept = thin(points, 200)
    expect(kept.length).toBeLessThanOrEqual(200)
    expect(kept).toContainEqual({ x: 4321, y: 99 })
    expect(kept.every((point, i) => i === 0 || point.x > (kept[i - 1]?.x ?? 0))).toBe(true)
  })

  it('smooths without lag, and without a bias towards zero at the ends', () => {
    const level = smooth(
      [1, 1, 1].map((y, x) => ({ x, y })),
      10,
    )
    expect(level.map((p) => Number(p.y.toFixed(12)))).toEqual([1, 1, 1])
    const ramp = smooth(
      Array.from({ length: 101 }, (_, x) => ({ x, y: x })),
      5,
    )
    expect(ramp[50]?.y).toBeCloseTo(50, 3)
  })
})

describe('the section on rows', () => {
  const report: DataReport = {
    format: 'messages',
    rows: 30,
    tokens: 900,
    labelled: 300,
    labelledShare: 1 / 3,
    lengths: { min: 7, median: 20, p95: 50, max: 60, mean: 30 },
    histogram: [{ from: 7, to: 61, rows: 30 }],
    cut: 3,
    cutShare: 0.1,
    skipped: 1,
    unlabelled: 2,
    padding: { random: 0.5, bucketed: 0.1, packed: 0.02 },
    batching: 'packed',
    used: 0.02,
    first: {
      source: 'rows.jsonl:1',
      pieces: [
        { text: '<b>', labelled: false },
        { text: '&', labelled: true },
      ],
      tokens: 2,
      shown: 2,
    },
  }

  it('marks what carries loss, escapes the rows, and says which padding is the run’s', () => {
    const { markup } = dataSection(report)
    expect(markup).toContain('<pre>&lt;b&gt;<mark>&amp;</mark></pre>')
    expect(markup).toContain('7 to 60')
    expect(markup).toMatch(/packed \(this run\)<\/th>.*?2 %/)
    expect(markup).toMatch(/1 bad, 2 without loss/)
    expect(dataSection(undefined).markup).toBe('')
  })
})

describe('html', () => {
  it('escapes whatever is put in, keeps what it made', () => {
    expect(html`<p title="${'"'}">${'<b>&\0'}${html`<i>${'>'}</i>`}</p>`.markup).toBe(
      '<p title="&quot;">&lt;b&gt;&amp;\ufffd<i>&gt;</i></p>',
    )
    expect(escapeHtml("'")).toBe('&#39;')
  })
})

describe('trainer log', () => {
  it('leaves out a torn last line and refuses a broken one before it', () => {
    const good = '{"step":1,"loss":2,"total_steps":3}\n{"step":1,"eval_loss":1.5,"eval_tokens":9}\n'
    expect(parseTrainerLog(`${good}{"step":2,"lo`, 'log')).toMatchObject({
      steps: [{ step: 1, loss: 2 }],
      evals: [{ evalLoss: 1.5 }],
    })
    try {
      parseTrainerLog(`{"step":\n${good}`, 'log')
      expect.unreachable()
    } catch (error) {
      expect(isLowrankError(error) && error.file).toBe('log:1')
    }
  })
})

describe('trained kinds', () => {
  it('counts modules, parameters and bytes by the last name', () => {
    const tensor = (name: string, shape: number[]) => ({ name, shape, bytes: shape.reduce((a, b) => a * b, 4) })
    const layers = [0, 1].flatMap((i) => [
      tensor(`base_model.model.model.layers.${i}.self_attn.q_proj.lora_A.weight`, [2, 8]),
      tensor(`base_model.model.model.layers.${i}.self_attn.q_proj.lora_B.weight`, [8, 2]),
    ])
    expect(trainedKinds([...layers, tensor('base_model.model.lm_head.weight', [4, 8])])).toEqual([
      { kind: 'q_proj', modules: 2, parameters: 64, bytes: 256 },
      { kind: 'lm_head', modules: 1, parameters: 32, bytes: 128 },
    ])
  })
})

describe('report.html', () => {
  let folder = ''
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lowrank-report-'))
    writeFileSync(
      join(folder, 'run.yaml'),
      'model: "</title><script>alert(1)</script>"\nmethod: lora\nrank: 8\nlearning-rate: 0.0002\ndata: [a.jsonl]\n',
    )
    const lines: object[] = []
    for (let step = 1; step <= 300; step++) {
      const rate = step <= 9 ? (2e-4 * step) / 9 : 1e-4 * (1 + Math.cos((Math.PI * (step - 9)) / 291))
      const loss = 0.6 + 2.6 * Math.exp(-step / 60) + 0.12 * Math.sin(step * 12.9898)
      const norm = 0.4 + Math.exp(-step / 40) + 0.2 * Math.abs(Math.sin(step * 78.233))
      lines.push({
        ...{
          step,
          total_steps: 300,
          epoch: step / 100,
          loss,
          learning_rate: rate,
          grad_norm: norm,
          tokens: step * 512,
        },
        ...{ tokens_per_second: 1400, elapsed_seconds: step * 0.36, remaining_seconds: 0, peak_memory_bytes: 5e8 },
      })
      if (step % 100 === 0)
        lines.push({ step, epoch: step / 100, eval_loss: 0.75 + 2.2 * Math.exp(-step / 70), eval_tokens: 4096 })
    }
    writeFileSync(join(folder, 'trainer_log.jsonl'), `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`)
    const tensors = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'].flatMap((kind, i) =>
      [0, 1, 2].flatMap((layer) => {
        const name = `base_model.model.model.layers.${layer}.x.${kind}.lora_`
        const wide = i < 4 ? 64 : 172
        return [
          {
            name: `${name}A.weight`,
            dtype: 'f32' as const,
            shape: [8, 64],
            data: () => f32([8, 64], new Float32Array(512)),
          },
          {
            name: `${name}B.weight`,
            dtype: 'f32' as const,
            shape: [wide, 8],
            data: () => f32([wide, 8], new Float32Array(wide * 8)),
          },
        ]
      }),
    )
    await writeSafetensors(join(folder, 'adapter_model.safetensors'), tensors)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('is one page without network, in which nothing from outside becomes markup', async () => {
    const samples = [
      {
        prompt: 'order: two <b>teas</b> for Ana',
        before: 'and then she went home',
        text: '{"who":"Ana","what":"tea","count":2}',
        expected: '{"who":"Ana","what":"tea","count":2}',
      },
      {
        prompt: 'order: one cake & a coffee for Li',
        before: 'She said',
        text: '{"who":"Li"}',
        expected: '{"who":"Li","what":"cake","count":1}',
      },
    ]
    const page = readFileSync(await writeReport(folder, { parameters: 260_032, samples }), 'utf8')
    expect(page).not.toMatch(/<script|https?:|<link|<img|@import|url\(/)
    expect(page).toContain('&lt;script&gt;')
    expect(page).toContain('two &lt;b&gt;teas&lt;/b&gt;')
    expect(page).not.toMatch(/NaN|undefined|\[object/)
    for (const heading of ['Loss', 'Learning rate', 'Gradient norm', 'Samples', 'Trained parameters', 'Settings'])
      expect(page).toContain(heading)
    expect(page.length).toBeLessThan(400_000)
  })

  it('says what the run was', async () => {
    const data = await readReportData(folder)
    expect(data.trained.map((kind) => kind.kind)).toContain('gate_proj')
    expect(data.settings).toContainEqual({ group: 'Optimizer', name: 'learning-rate', value: '0.0002' })
    expect(data.log.evals).toHaveLength(3)
  })

  it('can be made of a run that logged nothing yet', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'lowrank-report-'))
    try {
      expect(readFileSync(await writeReport(empty), 'utf8')).toContain('Nothing was logged.')
    } finally {
      rmSync(empty, { recursive: true, force: true })
    }
  })

  it.skipIf(!existsSync(chromium))('renders in a browser', () => {
    const out = process.env.LOWRANK_SCREENSHOT ?? join(folder, 'report.png')
    const dark =
      process.env.LOWRANK_SCREENSHOT_DARK === '1'
        ? ['--force-dark-mode', '--blink-settings=preferredColorScheme=0']
        : []
    const flags = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--hide-scrollbars',
      `--user-data-dir=${join(folder, 'profile')}`,
    ]
    const size = process.env.LOWRANK_SCREENSHOT_SIZE ?? '1180,2300'
    execFileSync(
      chromium,
      [
        ...flags,
        ...dark,
        `--window-size=${size}`,
        `--screenshot=${out}`,
        pathToFileURL(join(folder, 'report.html')).href,
      ],
      { stdio: 'ignore' },
    )
    expect(statSync(out).size).toBeGreaterThan(20_000)
  })
})
