/**
 * @file `node scripts/tiny/train.mjs [OUT]`: makes the corpus, trains lowrank-tiny on it with lowrank's own `train` in two
 * stages and writes the weights as f16 into lowrank-tiny/. About half an hour of one core; run again, it goes on where
 * it stopped.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSafetensors, writeSafetensors } from '../../dist/formats/tensor-files.js'
import { f32ToHalves } from '../../dist/tensor/half.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'lowrank-tiny')
/** Shares of the corpus and what differs between the stages; the second starts from the weights of the first. */
const stages = [
  { documents: '96000', seed: '42', mixture: 'broad', steps: '5000', rate: '2.5e-3' },
  { documents: '80000', seed: '43', mixture: 'focused', steps: '4000', rate: '1.5e-3' },
]
const recipe = {
  method: 'full',
  'batch-size': '16',
  warmup: '100',
  'eval-every': '1000',
  'save-every': '500',
  'log-every': '50',
  keep: '2',
  samples: '0',
  threads: '1', // the same sums in the same order, whatever the machine
}

/** @param {string[]} args */
function node(...args) {
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit', cwd: root })
  if (status !== 0) process.exit(status ?? 1)
}

/** Halves the size; every weight is far inside f16's range. @param {string} from @param {string} to */
async function writeHalves(from, to) {
  const tensors = new Map()
  for (const [name, { dtype, shape, data }] of await readSafetensors(from)) {
    if (dtype !== 'f32') throw new Error(`${name} is ${dtype}, not f32`)
    tensors.set(name, { dtype: 'f16', shape, data: f32ToHalves('f16', data) })
  }
  await writeSafetensors(to, tensors)
}

/**
 * One stage in a folder of its own, continued where it was stopped. Returns the folder of its model.
 * @param {string} out @param {(typeof stages)[number]} stage @param {string[]} start where the weights come from
 */
function trainStage(out, { documents, seed, mixture, steps, rate }, start) {
  if (!existsSync(join(out, 'heldout.jsonl'))) node('scripts/tiny/make.mjs', out, documents, seed, mixture)
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(join(out, file), join(folder, file))
  const run = join(out, 'run')
  const options = { ...recipe, steps, seed, 'learning-rate': rate, output: run }
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const data = ['--data', join(out, 'corpus.jsonl'), '--eval-data', join(out, 'heldout.jsonl')]
  node('dist/cli/bin.js', 'train', ...start, ...data, ...flags, ...(existsSync(run) ? ['--resume'] : []))
  return run
}

const [out = 'runs/tiny'] = process.argv.slice(2)
let start = ['--from-config', join(folder, 'config.json')]
for (const [i, stage] of stages.entries()) start = ['--model', trainStage(join(out, `stage-${i + 1}`), stage, start)]
await writeHalves(join(start[1] ?? '', 'model.safetensors'), join(folder, 'model.safetensors'))
