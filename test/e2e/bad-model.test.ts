/** @file Models that are not what they claim: each is refused within seconds, by one message, before anything is written. */
import { cpSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, it } from 'vitest'
import { tensor } from '../../src/tensor/host-tensor.ts'
import { tinyLlama, writeJson, writeTinyModel } from '../setup/tiny-model.ts'
import { idRows, labFolder, type Refusal, refuse, rowsFile } from './lab.ts'

const lab = labFolder()
let count = 0
let good = ''

beforeAll(async () => {
  good = await writeTinyModel(join(lab, 'good'))
  rowsFile(lab, idRows(8))
})

/** A copy of the good model. */
function copy(): string {
  const folder = join(lab, `model-${count++}`)
  cpSync(good, folder, { recursive: true })
  return folder
}

async function refuseModel(model: string, refusal: Omit<Refusal, 'untouched'>): Promise<void> {
  const output = join(lab, `run-${count++}`)
  const args = ['train', '--model', model, '--data', join(lab, 'rows.jsonl'), '--output', output, '--steps', '1']
  await refuse(args, { ...refusal, untouched: output })
}

const weightsOf = (model: string): string => join(model, 'model.safetensors')

/** A safetensors file of a header, as it stands, and zeros. */
function safetensors(header: string, bytes: number): Uint8Array {
  const json = Buffer.from(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, Buffer.alloc(bytes)])
}

type Spoil = (folder: string) => void
const weightsAre =
  (bytes: Uint8Array): Spoil =>
  (folder) =>
    writeFileSync(weightsOf(folder), bytes)
const header = (fields: object, bytes = 64): Spoil => weightsAre(safetensors(JSON.stringify(fields), bytes))
const name = 'model.norm.weight'

describe('weights', () => {
  const cases: [what: string, spoil: Spoil, says: RegExp][] = [
    ['missing', (f) => rmSync(weightsOf(f)), /has no model\.safetensors/],
    ['cut in the middle', (f) => truncateSync(weightsOf(f), 20_000), /model\.safetensors/],
    ['cut in the header', (f) => truncateSync(weightsOf(f), 50), /model\.safetensors/],
    ['empty', (f) => truncateSync(weightsOf(f), 0), /model\.safetensors/],
    ['with a huge header', weightsAre(Buffer.alloc(64, 0xff)), /model\.safetensors.*header/],
    ['with a header beyond the file', weightsAre(Buffer.concat([Buffer.from([0, 0, 0, 5, 0, 0, 0, 0])])), /header/],
    ['whose header is no JSON', weightsAre(safetensors('{"a": nothing}', 8)), /model\.safetensors/],
    ['whose header is a list', weightsAre(safetensors('[1]', 8)), /model\.safetensors/],
    [
      'that overlap',
      header({
        a: { dtype: 'F32', shape: [8], data_offsets: [0, 32] },
        b: { dtype: 'F32', shape: [8], data_offsets: [16, 48] },
      }),
      /model\.safetensors.*\b[ab]\b/,
    ],
    [
      'whose bytes are not what shape and type need',
      header({ [name]: { dtype: 'F32', shape: [16], data_offsets: [0, 32] } }),
      /model\.norm\.weight/,
    ],
    [
      'with a shape that overflows',
      header({ [name]: { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 64] } }),
      /model\.norm\.weight/,
    ],
    [
      'with a negative shape',
      header({ [name]: { dtype: 'F32', shape: [-16], data_offsets: [0, 64] } }),
      /model\.norm\.weight/,
    ],
    [
      'of an unknown type',
      header({ [name]: { dtype: 'Q4_K', shape: [16], data_offsets: [0, 64] } }),
      /model\.norm\.weight|Q4_K/,
    ],
    [
      'in torch’s own file',
      (f) => renameSync(weightsOf(f), join(f, 'pytorch_model.bin')),
      /pytorch_model\.bin is no torch file: it begins neither as a zip archive/,
    ],
    [
      'whose index names a shard that is not there',
      (f) => {
        renameSync(weightsOf(f), join(f, 'other.safetensors'))
        writeJson(join(f, 'model.safetensors.index.json'), { weight_map: { [name]: 'model-00001.safetensors' } })
      },
      /model-00001\.safetensors/,
    ],
    [
      'whose index leaves the folder',
      (f) => {
        renameSync(weightsOf(f), join(f, 'other.safetensors'))
        writeJson(join(f, 'model.safetensors.index.json'), { weight_map: { [name]: '../good/model.safetensors' } })
      },
      /outside the model folder/,
    ],
    [
      'whose index has no map',
      (f) => {
        rmSync(weightsOf(f))
        writeJson(join(f, 'model.safetensors.index.json'), {})
      },
      /weight_map/,
    ],
  ]
  it.each(cases)('%s', async (_, spoil, says) => {
    const model = copy()
    spoil(model)
    await refuseModel(model, { exit: 1, says })
  })

  it('that lack a tensor, have one of another shape, one misspelt, one of integers', async () => {
    const lacking = join(lab, 'lacking')
    await writeTinyModel(lacking, tinyLlama, (weights) => weights.delete('model.layers.1.mlp.up_proj.weight'))
    await refuseModel(lacking, { exit: 1, code: 'format', says: /1 missing: model\.layers\.1\.mlp\.up_proj\.weight/ })
    const wrong = join(lab, 'wrong')
    await writeTinyModel(wrong, { ...tinyLlama, intermediate_size: 20 })
    writeJson(join(wrong, 'config.json'), tinyLlama)
    await refuseModel(wrong, { exit: 1, code: 'format', says: /up_proj\.weight is \[20,16\], .* asks for \[24,16\]/ })
    const misspelt = join(lab, 'misspelt')
    await writeTinyModel(misspelt, tinyLlama, (weights) => {
      const value = weights.get('model.norm.weight')
      if (value) weights.set('model.norn.weight', value)
      weights.delete('model.norm.weight')
    })
    await refuseModel(misspelt, {
      exit: 1,
      code: 'format',
      says: [/missing: model\.norm\.weight/, /model\.norn\.weight/],
    })
    const integers = join(lab, 'integers')
    await writeTinyModel(integers, tinyLlama, (weights) =>
      weights.set('model.norm.weight', tensor('i64', [16], new BigInt64Array(16))),
    )
    await refuseModel(integers, { exit: 1, says: /model\.norm\.weight/ })
  })
})

describe('config.json', () => {
  const fields: [change: Record<string, unknown>, says: RegExp][] = [
    [{ model_type: undefined }, /config\.json.*model_type/],
    [{ model_type: 'lama' }, /lama[\s\S]*llama/],
    [{ model_type: 'bert' }, /bert/],
    [{ model_type: 7 }, /model_type/],
    [{ num_attention_heads: 3 }, /num_attention_heads/],
    [{ num_attention_heads: 0 }, /num_attention_heads/],
    [{ num_attention_heads: -4 }, /num_attention_heads/],
    [{ num_key_value_heads: 3 }, /num_key_value_heads/],
    [{ num_key_value_heads: 8 }, /num_key_value_heads/],
    [{ hidden_size: '16' }, /hidden_size/],
    [{ hidden_size: 16.5 }, /hidden_size/],
    [{ hidden_size: 0 }, /hidden_size/],
    [{ hidden_size: 1e15 }, /hidden_size is 1000000000000000, expected 1 to 1048576/],
    [{ head_dim: 3 }, /head_dim/],
    [{ vocab_size: -1 }, /vocab_size/],
    [{ vocab_size: 1e12 }, /vocab_size|embed_tokens/],
    [{ num_hidden_layers: 0 }, /num_hidden_layers/],
    [{ num_hidden_layers: 1_000_000_000 }, /num_hidden_layers/],
    [{ intermediate_size: null }, /intermediate_size/],
    [{ intermediate_size: [24] }, /intermediate_size/],
    [{ max_position_embeddings: 0 }, /max_position_embeddings/],
    [{ rms_norm_eps: 'small' }, /rms_norm_eps/],
    [{ rms_norm_eps: -1 }, /rms_norm_eps/],
    [{ hidden_act: 'swoosh' }, /hidden_act.*swoosh/],
    [{ rope_theta: 0 }, /rope_theta/],
    [{ rope_scaling: { rope_type: 'spiral', factor: 2 } }, /spiral/],
    [{ rope_scaling: { rope_type: 'linear', factor: -2 } }, /factor/],
    [{ tie_word_embeddings: 'yes' }, /tie_word_embeddings/],
    [{ attention_dropout: 2 }, /attention_dropout/],
    [{ pretraining_tp: 2 }, /pretraining_tp/],
    [{ clever_trick: 3 }, /clever_trick = 3/],
  ]
  it.each(fields)('with %j', async (change, says) => {
    const model = copy()
    writeJson(join(model, 'config.json'), { ...tinyLlama, ...change })
    await refuseModel(model, { exit: 1, says })
  })

  it.each([
    ['missing', undefined, /config\.json/],
    ['empty', '', /config\.json/],
    ['torn', readTorn, /config\.json/],
    ['a list', '[]', /config\.json/],
    ['nested without end', `{"a":${'['.repeat(100_000)}`, /config\.json/],
  ] as const)('%s', async (_, text, says) => {
    const model = copy()
    const file = join(model, 'config.json')
    if (text === undefined) rmSync(file)
    else writeFileSync(file, typeof text === 'string' ? text : text(file))
    await refuseModel(model, { exit: 1, says })
  })

  function readTorn(file: string): string {
    return readFileSync(file, 'utf8').slice(0, 60)
  }
})

describe('a model', () => {
  it('that is not there, is a file, or is an empty folder', async () => {
    await refuseModel(join(lab, 'none'), { exit: 1, code: 'missing', says: /none/ })
    await refuseModel('someone/some-model', { exit: 1, says: /someone\/some-model/ })
    await refuseModel(join(lab, 'rows.jsonl'), { exit: 2, says: /rows\.jsonl is a file; a model is a folder/ })
    await refuseModel(lab, { exit: 1, says: /config\.json/ })
  })

  it('whose tokenizer is torn or has more ids than the model', async () => {
    const model = copy()
    rowsFile(model, [{ text: 'the hen' }])
    const args = ['train', '--model', model, '--data', join(model, 'rows.jsonl'), '--output', join(lab, 'no')]
    truncateSync(join(model, 'tokenizer.json'), 200)
    await refuse(args, { exit: 1, says: /tokenizer\.json/, untouched: join(lab, 'no') })
    rmSync(join(model, 'tokenizer.json'))
    await refuse(args, { exit: 1, says: [/tokenizer/, /rows\.jsonl:1/], untouched: join(lab, 'no') })
    const small = join(lab, 'small')
    await writeTinyModel(small, { ...tinyLlama, vocab_size: 100 })
    const rows = join(model, 'rows.jsonl')
    await refuse(['train', '--model', small, '--data', rows, '--output', join(lab, 'no')], {
      ...{ exit: 1, code: 'data', says: [/rows\.jsonl:1/, /vocabulary of 100/], untouched: join(lab, 'no') },
    })
  })
})
