/**
 * @file Head-only training with the frozen layers computed once, against computing them in every step: seconds over seeds
 * in one process, how far the logits of both are apart, and whether they predict the same.
 * usage: node bench/frozen-prefix.mjs --model FOLDER --data ROWS --eval-data ROWS [--seeds 20] [--plain-seeds 3]
 * A plain run takes the same each time, so few of them are run and their mean counts for all.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { openClassifier, train } from '../dist/index.js'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    'eval-data': { type: 'string' },
    seeds: { type: 'string', default: '20' },
    'plain-seeds': { type: 'string', default: '3' },
  },
})
const { model, data, 'eval-data': evalData } = values
if (!model || !data || !evalData) throw new Error('name --model, --data and --eval-data')
const lab = mkdtempSync(join(tmpdir(), 'lowrank-bench-'))

async function timed(prefixCache, seed) {
  const started = performance.now()
  const output = join(lab, `${prefixCache}-${seed}`)
  const options = { method: 'head', frozenDropout: 'off', epochs: 3, batchSize: 32, learningRate: 1e-3 }
  for await (const _ of train({ model, data, evalData, output, seed, prefixCache, ...options }));
  return (performance.now() - started) / 1000
}

/** log p of each label, which are the logits but for one number a row. */
async function predictionsOf(output) {
  const texts = readFileSync(evalData, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).text)
  const classifier = await openClassifier({ model, adapter: [output] })
  const found = await classifier.classify(texts)
  await classifier.dispose()
  return found.map(({ label, scores }) => ({ label, logs: Object.values(scores).map(Math.log) }))
}

const [seeds, plainSeeds] = [Number(values.seeds), Number(values['plain-seeds'])]
const [kept, plain] = [[], []]
for (let seed = 1; seed <= Math.max(seeds, plainSeeds); seed++) {
  if (seed <= seeds) kept.push(await timed('auto', seed))
  if (seed <= plainSeeds) plain.push(await timed('off', seed))
}
let [largest, same, rows] = [0, 0, 0]
for (let seed = 1; seed <= Math.min(seeds, plainSeeds); seed++) {
  const [a, b] = [await predictionsOf(join(lab, `auto-${seed}`)), await predictionsOf(join(lab, `off-${seed}`))]
  for (const [i, { label, logs }] of a.entries()) {
    rows++
    if (label === b[i].label) same++
    for (const [k, log] of logs.entries()) largest = Math.max(largest, Math.abs(log - b[i].logs[k]))
  }
}
const sum = (list) => list.reduce((a, b) => a + b, 0)
const [keptTotal, plainTotal] = [sum(kept), (sum(plain) / plainSeeds) * seeds]
console.log(`| ${seeds} seeds, head only | seconds | a run |\n|---|---|---|`)
console.log(
  `| frozen layers in every step | ${plainTotal.toFixed(0)} (${plainSeeds} runs measured) | ${(plainTotal / seeds).toFixed(2)} |`,
)
console.log(
  `| frozen layers once | ${keptTotal.toFixed(1)} | first ${kept[0].toFixed(2)}, then ${(sum(kept.slice(1)) / (seeds - 1)).toFixed(2)} |`,
)
console.log(
  `ratio ${(plainTotal / keptTotal).toFixed(1)}; log-probabilities differ by at most ${largest.toExponential(1)}; ${same} of ${rows} predictions the same`,
)
rmSync(lab, { recursive: true })
