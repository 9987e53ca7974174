/**
 * @file `node scripts/tiny/make.mjs OUT [documents] [seed]`: writes corpus.jsonl, heldout.jsonl, tokenizer.json and
 * tokenizer_config.json into OUT. Same arguments, same bytes. Needs dist/ (`npm ci` builds it).
 */

import { once } from 'node:events'
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { specialTokens, tokenizerJson, trainMerges } from './bpe.mjs'
import { document } from './documents.mjs'
import { Dice } from './words.mjs'

const vocabulary = 768

/** Documents of one part of the corpus; parts have streams of their own and never share one. @param {number} seed @param {string} part @param {number} count */
export function* documents(seed, part, count) {
  const dice = new Dice(seed, `tiny/${part}`)
  for (let i = 0; i < count; i++) yield document(dice)
}

/** @param {string} path @param {Iterable<string>} texts */
async function writeRows(path, texts) {
  const file = createWriteStream(path)
  let characters = 0
  for (const text of texts) {
    characters += text.length
    if (!file.write(`${JSON.stringify({ text })}\n`)) await once(file, 'drain')
  }
  file.end()
  await once(file, 'finish')
  return characters
}

/** ChatML's shape with this tokenizer's own marks. */
const chatTemplate =
  "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{{ '<|assistant|>' }}{% generation %}{{ message['content'] }}{{ '<|end|>' }}{% endgeneration %}{% else %}{{ '<|user|>' + message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"

/** @param {string} folder @param {number} seed */
function writeTokenizer(folder, seed) {
  const json = tokenizerJson(trainMerges(documents(seed, 'tokenizer', 8000), vocabulary))
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
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [out = 'runs/tiny', count = '120000', seed = '42'] = process.argv.slice(2)
  mkdirSync(out, { recursive: true })
  writeTokenizer(out, Number(seed))
  const characters = await writeRows(join(out, 'corpus.jsonl'), documents(Number(seed), 'corpus', Number(count)))
  await writeRows(join(out, 'heldout.jsonl'), documents(Number(seed), 'heldout', 500))
  process.stdout.write(`${count} documents, ${characters} characters in ${out}\n`)
}
