// The preflight's predictions against what is measured: peak memory and time a step, each case in a process of its own.
//
//   node bench/preflight.mjs [--stories FOLDER] [--only TEXT] [--steps 3] [--json FILE]
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseHfConfig } from '../dist/formats/hf-config.js'
import { modelOf } from '../dist/models/registry.js'
import { inChild } from '../dist/run/bench/in-child.js'
import { SMOLLM2_135M, writeRandomModel } from '../dist/run/bench/random-model.js'

const { values: flags } = parseArgs({
  options: {
    stories: { type: 'string' },
    only: { type: 'string', default: '' },
    steps: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
})
const scratch = mkdtempSync(join(tmpdir(), 'lowrank-preflight-'))
await writeRandomModel(scratch, SMOLLM2_135M, modelOf(parseHfConfig(SMOLLM2_135M, 'SmolLM2-135M')))

const cases = []
for (const sequence of [128, 512])
  for (const batchSize of [1, 4])
    for (const rank of [8, 64])
      for (const recompute of [false, true])
        cases.push({
          name: `SmolLM2 seq ${sequence} batch ${batchSize} rank ${rank}${recompute ? ' recompute' : ''}`,
          settings: { model: scratch, sequence, batchSize, rank, recompute },
        })
if (flags.stories)
  for (const full of [false, true])
    cases.push({
      name: `stories260K seq 256 batch 8 ${full ? 'full' : 'rank 8'}`,
      settings: { model: flags.stories, sequence: 256, batchSize: 8, rank: 8, recompute: false, full },
    })

const results = []
const gigabytes = (bytes) => (bytes / 1e9).toFixed(3)
const ratio = (predicted, measured) => `${(predicted / measured).toFixed(2)}×`
console.log('predicted and measured: GB at the peak, seconds a step')
try {
  for (const { name, settings } of cases.filter((one) => one.name.includes(flags.only))) {
    const plain = { dropout: 0, targets: 'all-linear', engine: 'auto', threads: 'auto', predict: true }
    const found = await inChild('training', { ...plain, ...settings, steps: Number(flags.steps) })
    const { predicted, peakMemoryBytes, secondsPerStep } = found
    results.push({ name, settings, predicted, measured: { peakMemoryBytes, secondsPerStep } })
    const memory = `${gigabytes(predicted.peakMemoryBytes)} ${gigabytes(peakMemoryBytes)} ${ratio(predicted.peakMemoryBytes, peakMemoryBytes)}`
    const time = `${predicted.secondsPerStep.toFixed(3)} ${secondsPerStep.toFixed(3)} ${ratio(predicted.secondsPerStep, secondsPerStep)}`
    console.log(`${name.padEnd(46)} ${memory}   ${time}`)
  }
} finally {
  rmSync(scratch, { recursive: true })
}
if (flags.json) writeFileSync(flags.json, JSON.stringify(results, null, 1))
