// Resident memory over many training steps whose lengths differ: it must not grow once the longest has been seen.
//
//   node bench/creep.mjs [--steps 120] [--longest 256] [--batch 2]
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { collate } from '../dist/data/collate.js'
import { parseHfConfig } from '../dist/formats/hf-config.js'
import { modelOf } from '../dist/models/registry.js'
import { openForMeasure } from '../dist/run/bench/measure.js'
import { SMOLLM2_135M, writeRandomModel } from '../dist/run/bench/random-model.js'
import { RandomStream } from '../dist/support/random.js'

const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '120' },
    longest: { type: 'string', default: '256' },
    batch: { type: 'string', default: '2' },
  },
})
const [steps, longest, batchSize] = [flags.steps, flags.longest, flags.batch].map(Number)
const folder = mkdtempSync(join(tmpdir(), 'lowrank-creep-'))
await writeRandomModel(folder, SMOLLM2_135M, modelOf(parseHfConfig(SMOLLM2_135M, 'SmolLM2-135M')))
const settings = { model: folder, rank: 8, dropout: 0, targets: 'all-linear', engine: 'auto', threads: 'auto' }
const { session, close } = await openForMeasure({ ...settings, recompute: false })
const random = new RandomStream(7, 'creep')

/** Rows of random tokens; every tenth batch is as long as any. */
function batchOf(step) {
  const length = step % 10 === 0 ? longest : 8 + random.below(longest - 8)
  const row = (place) => {
    const ids = Int32Array.from({ length }, () => random.below(SMOLLM2_135M.vocab_size))
    return [{ ids, labels: ids, place, source: 'creep' }]
  }
  return collate(Array.from({ length: batchSize }, (_, place) => row(place)))
}

const resident = () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1e6
const seen = []
for (let step = 0; step < steps; step++) {
  await session.step([batchOf(step)], step, 1e-4)
  seen.push(resident())
  if (step % 20 === 19) console.log(`after ${step + 1} steps: ${seen.at(-1).toFixed(2)} GB`)
}
const most = (from, to) => Math.max(...seen.slice(from, to))
const half = steps >> 1
console.log(`at most ${most(20, half).toFixed(2)} GB from step 20 to ${half}, ${most(half, steps).toFixed(2)} GB after`)
await close()
rmSync(folder, { recursive: true })
