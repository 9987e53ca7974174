// Held-out loss of LoRA by step, on several models and texts: a table (Markdown) and, with --svg, a picture.
// A text file is cut into rows of equal length; a JSONL file of prompts and completions is taken as it stands.
//
//   node bench/held-out-curves.mjs --model FOLDER --model lowrank-tiny --data shakespeare.txt --data train.jsonl [--svg FILE]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { evaluate, train } from '../dist/index.js'

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', multiple: true, default: ['lowrank-tiny'] },
    data: { type: 'string', multiple: true, default: [] },
    steps: { type: 'string', default: '200' },
    rank: { type: 'string', default: '8' },
    rate: { type: 'string', default: '3e-3' },
    rows: { type: 'string', default: '400' },
    chars: { type: 'string', default: '400' },
    svg: { type: 'string' },
  },
})
if (flags.data.length === 0) {
  console.error('bench/held-out-curves.mjs needs --data FILE: plain text, or JSONL of prompts and completions')
  process.exit(2)
}
const scratch = mkdtempSync(join(tmpdir(), 'lowrank-curves-'))

/** Rows of a file, at most `--rows`, every fifth held out: two JSONL files. */
function rowsOf(file) {
  const text = readFileSync(file, 'utf8')
  const most = Number(flags.rows)
  const rows = file.endsWith('.jsonl') ? spread(text.trim().split('\n'), most) : pieces(text, most)
  const write = (part, kept) => {
    const out = join(scratch, `${basename(file)}.${part}.jsonl`)
    writeFileSync(out, `${rows.filter((_, i) => kept(i)).join('\n')}\n`)
    return out
  }
  return { data: write('train', (i) => i % 5 !== 4), evalData: write('valid', (i) => i % 5 === 4) }
}

const spread = (rows, most) => {
  const every = Math.max(1, Math.floor(rows.length / most))
  return rows.filter((_, i) => i % every === 0).slice(0, most)
}

function pieces(text, most) {
  const size = Number(flags.chars)
  const rows = []
  for (let start = 0; rows.length < most && start + size < text.length; start += size)
    rows.push(JSON.stringify({ text: text.slice(start, start + size) }))
  return rows
}

/** Held-out loss before training and after each eighth of the steps. */
async function curveOf(model, file) {
  const steps = Number(flags.steps)
  const rank = Number(flags.rank)
  const { data, evalData } = rowsOf(file)
  const options = {
    model,
    data,
    evalData,
    output: join(scratch, `${basename(model)}-${basename(file)}`),
    rank,
    alpha: 2 * rank,
    learningRate: Number(flags.rate),
    steps,
    evalEvery: Math.max(1, Math.round(steps / 8)),
    saveEvery: steps,
  }
  const points = [{ step: 0, loss: (await evaluate({ model, data: evalData })).loss }]
  for await (const event of train(options)) {
    if (event.type === 'eval') points.push({ step: event.step, loss: event.evalLoss })
  }
  const name = `${basename(model)}, ${basename(file)}`
  console.error(`${name}: ${points[0].loss.toFixed(4)} → ${points.at(-1).loss.toFixed(4)}`)
  return { name, points }
}

const curves = []
for (const model of flags.model) for (const data of flags.data) curves.push(await curveOf(model, data))
rmSync(scratch, { recursive: true, force: true })

console.log(`| step | ${curves.map((c) => c.name).join(' | ')} |`)
console.log(`|---|${curves.map(() => '---|').join('')}`)
for (const [i, { step }] of curves[0].points.entries())
  console.log(`| ${step} | ${curves.map((c) => c.points[i]?.loss.toFixed(4) ?? '').join(' | ')} |`)
if (flags.svg) writeFileSync(flags.svg, picture(curves))

/** All curves in one frame, each from its own first value, so that models with other vocabularies compare. */
function picture(all) {
  const [width, height, left, top, bottom] = [760, 360, 56, 16, 40]
  const colours = ['#2563eb', '#d97706', '#059669', '#9333ea', '#dc2626', '#0891b2']
  const most = Math.max(...all.flatMap((c) => c.points.map((p) => p.step)))
  const highest = Math.ceil(2 * Math.max(...all.flatMap((c) => c.points.map((p) => p.loss)))) / 2
  const x = (step) => left + (step / most) * (width - left - 240)
  const y = (loss) => top + (1 - loss / highest) * (height - top - bottom)
  const ticks = Array.from({ length: Math.floor(highest) + 1 }, (_, i) => i)
  const grid = ticks.map(
    (t) =>
      `<line x1="${left}" x2="${x(most)}" y1="${y(t)}" y2="${y(t)}" stroke="#ddd"/><text x="${left - 8}" y="${y(t) + 4}" text-anchor="end">${t}</text>`,
  )
  const lines = all.map(({ name, points }, i) => {
    const path = points.map((p) => `${x(p.step).toFixed(1)},${y(p.loss).toFixed(1)}`).join(' ')
    const colour = colours[i % colours.length]
    const label = `<text x="${x(most) + 20}" y="${top + 20 + 22 * i}" fill="${colour}">${name}</text>`
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${label}`
  })
  const steps = [0, most / 2, most].map((s) => `<text x="${x(s)}" y="${height - 16}" text-anchor="middle">${s}</text>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Held-out loss by step">
<rect width="${width}" height="${height}" fill="#fff"/>
${[...grid, ...steps, ...lines].join('\n')}
<text x="${x(most / 2)}" y="${height - 2}" text-anchor="middle">step</text><text x="14" y="${top + 6}" font-size="11">loss</text>
</svg>
`
}
