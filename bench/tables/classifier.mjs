// Methods compared on classifiers: accuracy over seeds, what is trained, what is saved, how long it takes; beside it
// PyTorch's on the same rows at the same settings. A finished cell is a line of --cells: a table that was stopped goes on.
//
//   node bench/tables/rows.mjs --output ROWS …
//   node bench/tables/classifier.mjs --model FOLDER --rows ROWS --cells cells.jsonl [--data trec,sst2]
//     [--methods full,lora,houlsby,bitfit,head] [--seeds 1,2,3] [--rates lora=1e-3,…] [--epochs 3] [--json]
//     [--python PYTHON --peer-methods lora,houlsby]
import { execFile } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { train } from '../../dist/index.js'

const text = { type: 'string' }
const { values: flags } = parseArgs({
  options: {
    ...{ model: text, rows: text, cells: text, python: text },
    data: { type: 'string', default: 'trec,sst2' },
    methods: { type: 'string', default: 'full,lora,houlsby,bitfit,head' },
    'peer-methods': { type: 'string', default: 'lora,houlsby' },
    seeds: { type: 'string', default: '1,2,3' },
    rates: { type: 'string', default: 'full=1e-4,lora=1e-3,houlsby=1e-3,bitfit=3e-3,head=5e-3' },
    epochs: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})
for (const name of ['model', 'rows', 'cells']) {
  if (flags[name]) continue
  console.error(`bench/tables/classifier.mjs needs --${name}`)
  process.exit(2)
}

/** Both sides have these; the rest is lowrank's defaults. */
const SETTINGS = { batchSize: 16, maxLength: 128, schedule: 'linear', warmup: 0.1 }
const PEER = fileURLToPath(new URL('./peer-classifier.py', import.meta.url))
const LOWRANK = 'lowrank'
const TORCH = 'PyTorch'

const listed = (flag) => flags[flag].split(',').filter(Boolean)
const rates = new Map(listed('rates').map((pair) => pair.split('=')))
const epochs = Number(flags.epochs)

const settingsOf = (method) => ({ ...SETTINGS, epochs, learningRate: Number(rates.get(method)) })
const rowsOf = (data, split) => join(flags.rows, `${data}-${split}.jsonl`)

async function ours({ data, method, seed }) {
  const scratch = mkdtempSync(join(tmpdir(), 'lowrank-table-'))
  const output = join(scratch, 'run')
  // No checkpoint on the way: what is timed are the steps.
  const saving = { saveEvery: 1_000_000, evalEvery: 1_000_000 }
  const options = { model: flags.model, output, method, seed, ...saving, ...settingsOf(method) }
  const cell = {}
  try {
    for await (const event of train({ ...options, data: rowsOf(data, 'train'), evalData: rowsOf(data, 'test') })) {
      if (event.type === 'start') Object.assign(cell, { trainable: event.trainable, parameters: event.parameters })
      if (event.type === 'eval') Object.assign(cell, { accuracy: event.metrics.accuracy, loss: event.evalLoss })
      if (event.type === 'done') Object.assign(cell, { trainLoss: event.result.loss, seconds: event.result.seconds })
    }
    return { ...cell, bytes: bytesOf(output) }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Of the tensors that a run leaves behind. */
function bytesOf(folder) {
  const files = readdirSync(folder).filter((name) => /\.(safetensors|bin)$/.test(name))
  return files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

async function theirs({ data, method, seed }) {
  const { batchSize, maxLength, schedule, warmup, learningRate } = settingsOf(method)
  const given = {
    ...{ model: flags.model, train: rowsOf(data, 'train'), eval: rowsOf(data, 'test'), method, seed, epochs },
    ...{ 'batch-size': batchSize, 'max-length': maxLength, schedule, warmup, 'learning-rate': learningRate },
  }
  const words = Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)])
  const { stdout } = await promisify(execFile)(flags.python, [PEER, ...words], { maxBuffer: 1 << 24 })
  const { train_loss: trainLoss, ...rest } = JSON.parse(stdout.trim().split('\n').at(-1))
  return { ...rest, trainLoss }
}

const keyOf = (cell) => [cell.data, cell.side, cell.method, cell.seed, cell.rate, cell.epochs].join(' ')

function finishedCells() {
  if (!existsSync(flags.cells)) return new Map()
  const lines = readFileSync(flags.cells, 'utf8').split('\n').filter(Boolean)
  return new Map(lines.map((line) => JSON.parse(line)).map((cell) => [keyOf(cell), cell]))
}

/** Sides take turns at each seed, so that a busy machine slows neither alone. */
function wanted() {
  const peers = flags.python ? listed('peer-methods') : []
  return listed('data').flatMap((data) =>
    listed('seeds').flatMap((seed) =>
      listed('methods').flatMap((method) =>
        [LOWRANK, ...(peers.includes(method) ? [TORCH] : [])].map((side) => {
          return { data, side, method, seed: Number(seed), rate: Number(rates.get(method)), epochs }
        }),
      ),
    ),
  )
}

const finished = finishedCells()
const cells = []
for (const [i, cell] of wanted().entries()) {
  let whole = finished.get(keyOf(cell))
  if (!whole) {
    whole = { ...cell, ...(await (cell.side === LOWRANK ? ours(cell) : theirs(cell))) }
    appendFileSync(flags.cells, `${JSON.stringify(whole)}\n`)
    const { accuracy, seconds } = whole
    console.error(
      `${i + 1} of ${wanted().length}: ${keyOf(cell)}: ${(100 * accuracy).toFixed(1)} %, ${seconds.toFixed(1)} s`,
    )
  }
  cells.push(whole)
}

function statistics(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 }
}

/** One line a data set, method and side. */
function lines() {
  const groups = new Map()
  for (const cell of cells) {
    const key = [cell.data, cell.method, cell.side].join(' ')
    groups.set(key, [...(groups.get(key) ?? []), cell])
  }
  return [...groups.values()].map((own) => {
    const [{ data, method, side, rate, trainable, bytes, parameters }] = own
    return {
      ...{ data, method, side, rate, runs: own.length },
      accuracy: statistics(own.map((cell) => cell.accuracy)),
      loss: statistics(own.map((cell) => cell.loss)),
      seconds: statistics(own.map((cell) => cell.seconds)),
      ...{ trainable, trainedShare: trainable / parameters },
      // Of the base at four bytes a number, whatever type its file has.
      ...(bytes === undefined ? {} : { bytes, sizeShare: bytes / (4 * parameters) }),
    }
  })
}

const percent = (share, digits = 1) => (100 * share).toFixed(digits)
const row = (words) => `| ${words.join(' | ')} |`

function markdown(data) {
  const head = ['method', 'side', 'rate', 'accuracy, %', 'loss', 'trained, %', 'saved, % of the base', 'seconds']
  const body = lines().filter((line) => line.data === data)
  return [
    `**${data}**, ${epochs} epochs, ${listed('seeds').length} seeds: mean ± standard deviation`,
    '',
    row(head),
    row(head.map(() => '---')),
    ...body.map((line) =>
      row([
        ...[line.method, line.side, String(line.rate)],
        `${percent(line.accuracy.mean)} ± ${percent(line.accuracy.std)}`,
        `${line.loss.mean.toFixed(3)} ± ${line.loss.std.toFixed(3)}`,
        percent(line.trainedShare, 2),
        line.sizeShare === undefined ? '' : percent(line.sizeShare, 2),
        line.seconds.mean.toFixed(1),
      ]),
    ),
  ].join('\n')
}

console.log(flags.json ? JSON.stringify({ lines: lines(), cells }) : listed('data').map(markdown).join('\n\n'))
