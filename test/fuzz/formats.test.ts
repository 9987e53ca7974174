/** @file 10,000 seeded mutations of each kind of file: a reader gives a value or a LowrankError, nothing else, and no large allocation. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bufferSource } from '../../src/formats/byte-source.ts'
import { parseGenerationConfig } from '../../src/formats/generation-config.ts'
import { parseHfConfig } from '../../src/formats/hf-config.ts'
import { loraConfig, parsePeftLoraConfig, serializePeftLoraConfig } from '../../src/formats/peft-config.ts'
import { runPickle } from '../../src/formats/pickle.ts'
import { ropeParameters } from '../../src/formats/rope-parameters.ts'
import { parseSafetensors, serializeSafetensors } from '../../src/formats/safetensors.ts'
import { readTorchTensors } from '../../src/formats/torch-file.ts'
import { torchHost } from '../../src/formats/torch-values.ts'
import { parseWeightIndex } from '../../src/formats/weights-folder.ts'
import { isLowrankError } from '../../src/support/errors.ts'
import { parseJsonBytes } from '../../src/support/json.ts'
import { RandomStream } from '../../src/support/random.ts'
import { f32, type HostTensor, i64, tensor } from '../../src/tensor/host-tensor.ts'
import { mutate } from './mutate.ts'

const MUTATIONS = 10_000
const EXPECTED = new Set(['format', 'config', 'unsupported'])

/** Runs a reader over mutated inputs. A failure names the mutation, so that it can be replayed. */
function fuzz(
  purpose: string,
  original: Uint8Array,
  read: (bytes: Uint8Array) => void,
): { parsed: number; refused: number } {
  const random = new RandomStream(20261125, purpose)
  const tally = { parsed: 0, refused: 0 }
  for (let n = 0; n < MUTATIONS; n++) {
    const bytes = mutate(original, random)
    try {
      read(bytes)
      tally.parsed++
    } catch (error) {
      expectRefusal(error, `mutation ${n} of ${purpose}`, bytes)
      tally.refused++
    }
  }
  return tally
}

/** The same of a reader that takes its bytes by range. */
async function fuzzAsync(
  purpose: string,
  original: Uint8Array,
  read: (bytes: Uint8Array) => Promise<void>,
): Promise<{ parsed: number; refused: number }> {
  const random = new RandomStream(20261125, purpose)
  const tally = { parsed: 0, refused: 0 }
  for (let n = 0; n < MUTATIONS; n++) {
    const bytes = mutate(original, random)
    try {
      await read(bytes)
      tally.parsed++
    } catch (error) {
      expectRefusal(error, `mutation ${n} of ${purpose}`, bytes)
      tally.refused++
    }
  }
  return tally
}

function expectRefusal(error: unknown, place: string, bytes: Uint8Array): void {
  if (!isLowrankError(error) || !EXPECTED.has(error.code))
    throw new Error(`${place}: ${JSON.stringify(Buffer.from(bytes).toString('latin1'))}`, { cause: error })
  expect(error.message.length).toBeLessThan(1000)
}

const utf8 = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value, null, 2))

describe('fuzz', () => {
  it('safetensors', () => {
    const original = serializeSafetensors(
      new Map<string, HostTensor>([
        ['model.embed_tokens.weight', f32([4, 2], [1, 2, 3, 4, 5, 6, 7, 8])],
        ['model.norm.weight', tensor('bf16', [3], Uint16Array.of(1, 2, 3))],
        ['ids', i64([1], [3])],
        ['empty', f32([0, 7], [])],
      ]),
    )
    const tally = fuzz('safetensors', original, (bytes) => {
      // Whatever is accepted lies inside the file, and no two tensors share a byte.
      let total = 0
      const { entries, dataOffset } = parseSafetensors(bytes)
      for (const { offset, bytes: length } of entries.values()) {
        expect(offset >= dataOffset && offset + length <= bytes.length).toBe(true)
        total += length
      }
      expect(dataOffset + total).toBe(bytes.length)
    })
    expect(tally.refused).toBeGreaterThan(MUTATIONS / 2)
    expect(tally.parsed).toBeGreaterThan(100)
  })

  it('adapter_config.json', () => {
    const full = loraConfig({
      r: 4,
      target_modules: ['q_proj', 'v_proj'],
      rank_pattern: { '^model\\.layers\\.1': 6, q_proj: 2 },
      alpha_pattern: { down_proj: 3 },
      layers_to_transform: [0, 1],
      trainable_token_indices: { embed_tokens: [5, 17] },
    })
    const tally = fuzz('adapter', new TextEncoder().encode(serializePeftLoraConfig(full)), (bytes) => {
      const { config } = parsePeftLoraConfig(parseJsonBytes(bytes), 'adapter_config.json')
      // Whatever is accepted can be written, and read back as itself.
      const text = serializePeftLoraConfig(config)
      expect(serializePeftLoraConfig(parsePeftLoraConfig(JSON.parse(text), 'again').config)).toBe(text)
    })
    expect(tally.refused).toBeGreaterThan(100)
    expect(tally.parsed).toBeGreaterThan(100)
  })

  it('config.json', () => {
    const original = utf8({
      model_type: 'llama',
      hidden_size: 32,
      rms_norm_eps: 1e-6,
      rope_theta: 10000,
      rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32 },
      eos_token_id: [2, 5],
      tie_word_embeddings: false,
      hidden_act: 'silu',
      torch_dtype: 'bfloat16',
    })
    const tally = fuzz('config', original, (bytes) => {
      const config = parseHfConfig(parseJsonBytes(bytes), 'config.json')
      config.string('model_type')
      config.int('hidden_size', { min: 1 })
      config.number('rms_norm_eps', { min: 0 })
      config.oneOf('hidden_act', ['silu', 'gelu'])
      config.boolean('tie_word_embeddings', { default: true })
      config.dtype()
      const rope = ropeParameters(config)
      rope.oneOf('rope_type', ['default', 'yarn'])
      rope.number('factor', { default: 1 })
      parseGenerationConfig(undefined, 'generation_config.json', config)
      expect([...config.unread(), ...rope.unread()]).toEqual(expect.any(Array))
    })
    expect(tally.refused).toBeGreaterThan(100)
    expect(tally.parsed).toBeGreaterThan(100)
  })

  it('model.safetensors.index.json', () => {
    const original = utf8({
      metadata: { total_size: 8 },
      weight_map: { 'a.weight': 'm-1.safetensors', b: 'm-2.safetensors' },
    })
    const tally = fuzz('index', original, (bytes) => {
      for (const shard of parseWeightIndex(parseJsonBytes(bytes), 'index.json').values())
        expect(shard).toMatch(/^(?!\/)(?!.*\.\.\/).*\.safetensors$/)
    })
    expect(tally.refused).toBeGreaterThan(100)
    expect(tally.parsed).toBeGreaterThan(100)
  })

  // A zip archive keeps its pickle whole under most mutations of its padding, so the pickle's own bytes are hit apart.
  it.each(['state.bin', 'state-legacy.bin'])('torch %s', async (name) => {
    const original = readFileSync(new URL(`../goldens/torch/${name}`, import.meta.url))
    const tally = await fuzzAsync(`torch ${name}`, original, async (bytes) => {
      // Whatever is accepted takes no more memory than the file has, but for tensors that share it.
      const tensors = await readTorchTensors(bufferSource('f.bin', bytes))
      for (const { data } of tensors.values()) expect(data.byteLength).toBeLessThanOrEqual(bytes.length)
    })
    expect(tally.refused).toBeGreaterThan(MUTATIONS / 4)
    expect(tally.parsed).toBeGreaterThan(100)
  })

  it('any bytes as a pickle', () => {
    const host = torchHost('p.pkl')
    const run = (bytes: Uint8Array): void => {
      try {
        runPickle(Uint8Array.from([0x80, 2, ...bytes, 0x2e]), host, 'p.pkl')
      } catch (error) {
        expectRefusal(error, 'pickle', bytes)
      }
    }
    // Bytes of any kind, and programs of opcodes that mean something.
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), run), { numRuns: MUTATIONS, seed: 20261125 })
    const word = fc.constantFrom(...PICKLE_WORDS.map((text) => Buffer.from(text, 'latin1')))
    const program = fc.array(word, { maxLength: 40 }).map((words) => Uint8Array.from(Buffer.concat(words)))
    fc.assert(fc.property(program, run), { numRuns: MUTATIONS, seed: 20261125 })
  })
})

const PICKLE_WORDS = [
  ...['(', ')', 't', '\x85', '\x86', '\x87', '}', ']', 'a', 'e', 's', 'u', 'N', '\x88', 'K\x01', 'J\xff\xff\xff\xff'],
  ...['\x8a\x02\x01\x80', 'G\x7f\xf0\0\0\0\0\0\0', 'X\x01\0\0\0w', 'q\x01', 'h\x01', 'R', 'b', 'Q', '\x81', '0', '1'],
  ...['ccollections\nOrderedDict\n', 'ctorch._utils\n_rebuild_tensor_v2\n', 'ctorch\nFloatStorage\n', 'ctorch\nSize\n'],
  ...['X\x07\0\0\0storage', 'X\x01\0\0\x000', 'cos\nsystem\n'],
]
