/**
 * @file `node scripts/tiny/train.mjs [OUT]`: makes the corpus, trains lowrank-tiny on it with lowrank's own `train` and
 * writes the weights as f16 into lowrank-tiny/. About 15 minutes of one core; run again, it goes on where it stopped.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSafetensors, writeSafetensors } from '../../dist/formats/tensor-files.js'
import { f32ToHalves } from '../../dist/tensor/half.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'lowrank-tiny')
const documents = '96000'
const recipe = {
  method: 'full',
  steps: '5000',
  'batch-size': '16',
  'learning-rate': '2.5e-3',
  warmup: '100',
  seed: '42',
  'eval-every': '1000',
  'save-every': '500',
  'log-every': '50',
  keep: '1',
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

const [out = 'runs/tiny'] = process.argv.slice(2)
const run = join(out, 'run')
if (!existsSync(join(out, 'corpus.jsonl'))) node('scripts/tiny/make.mjs', out, documents)
for (const file of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(join(out, file), join(folder, file))
const flags = Object.entries(recipe).flatMap(([name, value]) => [`--${name}`, value])
const data = ['--data', join(out, 'corpus.jsonl'), '--eval-data', join(out, 'heldout.jsonl')]
const again = existsSync(run) ? ['--resume'] : []
node(
  'dist/cli/bin.js',
  'train',
  '--from-config',
  join(folder, 'config.json'),
  ...flags,
  ...data,
  '--output',
  run,
  ...again,
)
await writeHalves(join(run, 'model.safetensors'), join(folder, 'model.safetensors'))
