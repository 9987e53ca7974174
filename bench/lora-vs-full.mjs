// LoRA against full fine-tuning: equal steps, each at its best of three learning rates, on text the model has not seen.
// Prints held-out loss by step for the best of each, and the gap.
//
//   node bench/lora-vs-full.mjs --model FOLDER --text FILE [--steps 200] [--rank 8] [--rows 200] [--chars 400] [--json]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { train } from '../dist/index.js'

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: 'lowrank-tiny' },
    text: { type: 'string' },
    steps: { type: 'string', default: '200' },
    rank: { type: 'string', default: '8' },
    rows: { type: 'string', default: '200' },
    chars: { type: 'string', default: '400' },
    rates: { type: 'string', default: '3e-4,1e-3,3e-3' },
    'full-rates': { type: 'string', default: '1e-4,3e-4,1e-3' },
    json: { type: 'boolean', default: false },
  },
})
if (!flags.text) {
  console.error('bench/lora-vs-full.mjs needs --text FILE: plain text the model has not seen')
  process.exit(2)
}
const steps = Number(flags.steps)
const scratch = mkdtempSync(join(tmpdir(), 'lowrank-bench-'))
const data = join(scratch, 'rows.jsonl')
writeFileSync(
  data,
  rowsOf(readFileSync(flags.text, 'utf8'))
    .map((text) => `${JSON.stringify({ text })}\n`)
    .join(''),
)

/** Consecutive pieces of the text, cut at spaces. */
function rowsOf(text) {
  const size = Number(flags.chars)
  const rows = []
  for (let start = 0; rows.length < Number(flags.rows) && start + size < text.length; start += size)
    rows.push(text.slice(start, start + size))
  return rows
}

/** Held-out loss by step of one run. */
async function curveOf(method, learningRate) {
  const output = join(scratch, `${method}-${learningRate}`)
  const adapter = method === 'lora' ? { rank: Number(flags.rank), alpha: 2 * Number(flags.rank) } : {}
  const curve = []
  let trainable = 0
  const every = Math.max(1, Math.round(steps / 8))
  const options = {
    model: flags.model,
    data,
    output,
    method,
    ...adapter,
    learningRate,
    steps,
    evalSplit: 0.2,
    evalEvery: every,
    saveEvery: steps,
  }
  for await (const event of train(options)) {
    if (event.type === 'start') trainable = event.trainable
    if (event.type === 'eval') curve.push({ step: event.step, loss: event.evalLoss })
  }
  return { method, learningRate, trainable, curve, final: curve.at(-1).loss }
}

const runs = []
for (const [method, rates] of [
  ['lora', flags.rates],
  ['full', flags['full-rates']],
]) {
  for (const rate of rates.split(',').map(Number)) {
    runs.push(await curveOf(method, rate))
    const run = runs.at(-1)
    console.error(`${method} at ${rate}: held-out loss ${run.final.toFixed(4)}`)
  }
}
rmSync(scratch, { recursive: true, force: true })
const best = (method) => runs.filter((r) => r.method === method).sort((a, b) => a.final - b.final)[0]
const [lora, full] = [best('lora'), best('full')]
if (flags.json) console.log(JSON.stringify({ runs, lora, full, gap: lora.final - full.final }))
else {
  console.log(
    `step  LoRA (${lora.trainable} trained, rate ${lora.learningRate})  full (${full.trainable} trained, rate ${full.learningRate})`,
  )
  for (const [i, { step, loss }] of lora.curve.entries()) {
    console.log(`${String(step).padStart(4)}  ${loss.toFixed(4)}  ${full.curve[i]?.loss.toFixed(4)}`)
  }
  console.log(
    `gap at the end: ${(lora.final - full.final).toFixed(4)} nats a token; LoRA trains ${((100 * lora.trainable) / full.trainable).toFixed(1)} % of the numbers`,
  )
}
