// Rows for the tables of classifiers, out of the files that TREC and SST-2 are handed round in: a choice that depends on
// the seed alone, as JSONL of {text, label}.
//
//   node bench/tables/rows.mjs --output FOLDER [--seed 0]
//     [--trec-train FILE --trec-test FILE]   lines `FINE:… question`, `fine question<TAB>COARSE`: the six coarse labels
//     [--sst2-train FILE --sst2-dev FILE]    TSV with a header that names `label`; the other column is the text
//     [--train-rows trec=2000,sst2=1000]
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { RandomStream } from '../../dist/support/random.js'

const text = { type: 'string' }
const { values: flags } = parseArgs({
  options: {
    ...{ 'trec-train': text, 'trec-test': text, 'sst2-train': text, 'sst2-dev': text },
    'train-rows': { type: 'string', default: 'trec=2000,sst2=1000' },
    output: text,
    seed: { type: 'string', default: '0' },
  },
})
if (!flags.output) {
  console.error('bench/tables/rows.mjs needs --output FOLDER')
  process.exit(2)
}
const counts = new Map(flags['train-rows'].split(',').map((pair) => pair.split('=')))

/** `desc Who was Galileo ?<TAB>HUM`, or `HUM:desc Who was Galileo ?` as the first publishers have it. */
function trecRows(file) {
  return linesOf(file).map((line) => {
    const [said, coarse] = line.split('\t')
    const [name, ...words] = said.split(' ')
    return { text: words.join(' '), label: coarse?.trim() ?? name.split(':')[0] }
  })
}

/** 0 and 1 become words, so that no reader takes them for indices of another order. */
function sst2Rows(file) {
  const [header = '', ...lines] = linesOf(file)
  const label = header.split('\t').indexOf('label')
  if (label < 0) throw new Error(`${file}: no column is named label`)
  return lines.map((line) => {
    const cells = line.split('\t')
    return { text: cells[1 - label].trim(), label: cells[label] === '1' ? 'positive' : 'negative' }
  })
}

function linesOf(file) {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
}

function write(name, rows) {
  const file = join(flags.output, `${name}.jsonl`)
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const labels = [...new Set(rows.map(({ label }) => label))].sort()
  const shares = labels.map((label) => `${label} ${rows.filter((row) => row.label === label).length}`)
  console.log(`${file}: ${rows.length} rows (${shares.join(', ')})`)
}

mkdirSync(flags.output, { recursive: true })
for (const [name, read, train, held] of [
  ['trec', trecRows, flags['trec-train'], flags['trec-test']],
  ['sst2', sst2Rows, flags['sst2-train'], flags['sst2-dev']],
]) {
  if (!train || !held) continue
  const rows = read(train)
  const order = new RandomStream(Number(flags.seed), `tables/${name}`).permutation(rows.length)
  write(
    `${name}-train`,
    [...order.subarray(0, Number(counts.get(name)))].map((place) => rows[place]),
  )
  write(`${name}-test`, read(held))
}
