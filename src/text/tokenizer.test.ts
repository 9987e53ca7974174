import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import golden from '../../test/goldens/text/tokenizers.json' with { type: 'json' }
import { sharedPath } from '../../test/setup/shared.ts'
import { BOS, EOS, tinyTokenizer, tinyTokenizerFiles } from '../../test/setup/tiny-tokenizer.ts'
import { createTokenizer, loadTokenizer } from './load-tokenizer.ts'
import type { Tokenizer } from './tokenizer.ts'

function streamed(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens: boolean): string {
  const stream = tokenizer.streamDecoder({ skipSpecialTokens })
  return ids.map((id) => stream.push(id)).join('') + stream.end()
}

describe.each(Object.entries(golden.folders))('%s against the Rust tokenizers', (folder, expected) => {
  const path = sharedPath(folder)
  it.skipIf(path === undefined)('encodes, decodes and streams the same', async () => {
    const tokenizer = await loadTokenizer(path ?? '')
    expect(golden.texts.map((text) => tokenizer.encode(text))).toEqual(expected.ids)
    expect(expected.bare.map((_, i) => tokenizer.encode(golden.texts[i] ?? '', { addSpecialTokens: false }))).toEqual(
      expected.bare,
    )
    expect(expected.ids.map((ids) => tokenizer.decode(ids))).toEqual(expected.decoded)
    expect(expected.ids.map((ids) => streamed(tokenizer, ids, true))).toEqual(expected.decoded)
    const whole = expected.ids.slice(0, expected.whole.length)
    expect(whole.map((ids) => tokenizer.decode(ids, { skipSpecialTokens: false }))).toEqual(expected.whole)
    expect(whole.map((ids) => streamed(tokenizer, ids, false))).toEqual(expected.whole)
    expect(expected.noise.map((ids) => tokenizer.decode(ids))).toEqual(expected.noiseDecoded)
    expect(expected.noise.map((ids) => streamed(tokenizer, ids, true))).toEqual(expected.noiseDecoded)
  })
})

describe('special tokens', () => {
  it('are read from all spellings', () => {
    const tokenizer = tinyTokenizer({ addBos: true })
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([258, 259, 262])
    expect([tokenizer.addsBos, tokenizer.prefix, tokenizer.suffix]).toEqual([true, [258], []])
    expect(tinyTokenizer().addsBos).toBe(false)
    expect(tokenizer.vocabSize).toBe(263)
    expect(tokenizer.encode(`${BOS}the${EOS}`)).toEqual([258, 258, 116, 256, 259])
  })

  it('fall back on generation_config.json, whose list also stops', () => {
    const files = { ...tinyTokenizerFiles(), tokenizerConfig: {}, generationConfig: { eos_token_id: [259, 261, 9999] } }
    const tokenizer = createTokenizer(files)
    expect([tokenizer.eosId, tokenizer.stopIds]).toEqual([259, [259, 261]])
  })

  it('are left out of text on request only', () => {
    const tokenizer = tinyTokenizer()
    const ids = [258, 116, 256, 259, 70000]
    expect(tokenizer.decode(ids)).toBe('the')
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(`${BOS}the${EOS}`)
    expect(tokenizer.decode([])).toBe('')
  })
})

describe('streaming', () => {
  it('holds back a character until its last byte', () => {
    const tokenizer = tinyTokenizer()
    const stream = tokenizer.streamDecoder()
    expect(tokenizer.encode('a🙂').map((id) => stream.push(id))).toEqual(['a', '', '', '', '🙂'])
    expect(stream.end()).toBe('')
  })

  it('equals decoding at once for any ids, and for any text gives it back', () => {
    const tokenizer = tinyTokenizer()
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 262 })), (ids) => {
        expect(streamed(tokenizer, ids, false)).toBe(tokenizer.decode(ids, { skipSpecialTokens: false }))
      }),
    )
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(streamed(tokenizer, tokenizer.encode(text), false)).toBe(text)
      }),
    )
  })
})

describe('refusals', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-tokenizer-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('name what is missing', async () => {
    await expect(loadTokenizer(folder)).rejects.toMatchObject({
      code: 'missing',
      message: `${folder} has no tokenizer.json`,
    })
    await writeFile(join(folder, 'vocab.json'), '{}')
    await writeFile(join(folder, 'merges.txt'), '')
    await expect(loadTokenizer(folder)).rejects.toMatchObject({
      code: 'missing',
      message: `${folder} has vocab.json and merges.txt but no tokenizer.json`,
    })
  })

  it.each([
    ['not JSON', '{"model": ', /is not valid JSON/],
    ['a list', '[]', /holds no JSON object/],
    ['an unknown model', '{"model": {"type": "Cipher", "vocab": {}}}', /is no tokenizer that lowrank can use/],
    ['a wild id', '{"model": {"type": "BPE", "vocab": {"a": 4000000000}, "merges": []}}', /4000000000 is no token id/],
    ['no model', '{"added_tokens": []}', /is no tokenizer that lowrank can use/],
    ['bad bytes', Uint8Array.of(0x7b, 0xff, 0x7d), /is not UTF-8 text/],
  ])('name a broken tokenizer.json: %s', async (_name, content, message) => {
    await writeFile(join(folder, 'tokenizer.json'), content)
    await expect(loadTokenizer(folder)).rejects.toMatchObject({
      code: 'format',
      message: expect.stringMatching(message),
      file: expect.stringContaining('tokenizer.json'),
    })
  })
})
