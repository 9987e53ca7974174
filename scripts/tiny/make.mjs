/**
 * @file `node scripts/tiny/make.mjs OUT [documents] [seed] [broad|focused]`: writes corpus.jsonl, heldout.jsonl, tokenizer.json and
 * tokenizer_config.json into OUT. Same arguments, same bytes. Needs dist/ (`npm ci` builds it).
 */

import { once } from 'node:events'
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { values } from '../../dist/run/quickstart/values.js'
import { specialTokens, tokenizerJson, trainMerges } from './bpe.mjs'
import { document } from './documents.mjs'
import { labeller } from './labels.mjs'
import { Dice } from './words.mjs'

const vocabulary = 768
/** Tokens of the longest document. */
const longest = 256
/** Share of documents whose every token counts: these teach what English of this kind looks like. */
const fullyLabelled = 0.2

/** Every word of the quickstart's names, goods and towns: a coinage that happens to be one of them is left out. */
const taboo = new Set(
  Object.values(values)
    .flatMap(({ firstNames, surnames, kinds, goods, towns }) => [firstNames, surnames, kinds, goods, towns])
    .flatMap((list) => list.flatMap((entry) => entry.toLowerCase().split(' '))),
)
/** Words of towns that the grammar has too: "New York", "San Diego". */
for (const word of ['new', 'san']) taboo.delete(word)

/**
 * Documents of one part of the corpus; parts have streams of their own and never share one.
 * @param {number} seed @param {string} part @param {number} count @param {'broad' | 'focused'} [mixture]
 */
function* documents(seed, part, count, mixture = 'broad') {
  const dice = new Dice(seed, `tiny/${part}`)
  for (let i = 0; i < count; ) {
    const text = document(dice, mixture)
    if ((text.toLowerCase().match(/\p{L}+/gu) ?? []).some((word) => taboo.has(word))) continue
    i++
    yield text
  }
}

/**
 * Rows of the corpus: documents that fit into one sample, most of them with labels on what repeats, some on all.
 * @param {(text: string, all: boolean) => { input_ids: number[], labels: number[] }} label
 * @param {number} seed @param {number} count @param {'broad' | 'focused'} mixture
 */
function* rows(label, seed, count, mixture) {
  const dice = new Dice(seed, 'tiny/labels')
  for (const text of documents(seed, 'corpus', count, mixture)) {
    const row = label(text, dice.chance(fullyLabelled))
    if (row.input_ids.length <= longest) yield row
  }
}

/** @param {string} path @param {Iterable<object>} rows */
async function writeRows(path, rows) {
  const file = createWriteStream(path)
  let written = 0
  for (const row of rows) {
    written++
    if (!file.write(`${JSON.stringify(row)}\n`)) await once(file, 'drain')
  }
  file.end()
  await once(file, 'finish')
  return written
}

/** ChatML's shape with this tokenizer's own marks. */
const chatTemplate =
  "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{{ '<|assistant|>' }}{% generation %}{{ message['content'] }}{{ '<|end|>' }}{% endgeneration %}{% else %}{{ '<|user|>' + message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"

/** The same whatever the corpus. @param {string} folder */
function writeTokenizer(folder) {
  const json = tokenizerJson(trainMerges(documents(42, 'tokenizer', 8000), vocabulary))
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(json))
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: '<|bos|>',
    eos_token: '<|eos|>',
    pad_token: '<|pad|>',
    additional_special_tokens: specialTokens.slice(3),
    add_bos_token: true,
    add_eos_token: false,
    model_max_length: 512,
    clean_up_tokenization_spaces: false,
    chat_template: chatTemplate,
  }
  writeFileSync(join(folder, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`)
  return labeller(json, config)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [out = 'runs/tiny', count = '120000', seed = '42', mixture = 'broad'] = process.argv.slice(2)
  mkdirSync(out, { recursive: true })
  const label = writeTokenizer(out)
  const written = await writeRows(
    join(out, 'corpus.jsonl'),
    rows(label, Number(seed), Number(count), mixture === 'focused' ? mixture : 'broad'),
  )
  const heldout = [...documents(Number(seed), 'heldout', 500)].map((text) => ({ text }))
  await writeRows(join(out, 'heldout.jsonl'), heldout)
  process.stdout.write(`${written} of ${count} documents in ${out}\n`)
}
