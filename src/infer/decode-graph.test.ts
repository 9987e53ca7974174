/** @file The graph of generation on a small random model: cached steps against whole prefixes, adapters by row. */
import { describe, expect, it } from 'vitest'
import { prepare } from '../engine/prepare.ts'
import { referenceEngine } from '../engines/reference/index.ts'
import { parseHfConfig } from '../formats/hf-config.ts'
import { loraConfig } from '../formats/peft-config.ts'
import { modelOf } from '../models/registry.ts'
import { layoutAdapter } from '../peft/layout.ts'
import { RandomStream } from '../support/random.ts'
import { f32, type HostTensor, i64, sizeOf, zeros } from '../tensor/host-tensor.ts'
import { buildDecode, type DecodeAdapters } from './decode-graph.ts'
import { adapterWeights, type LoadedAdapter } from './loaded-adapter.ts'

const config = {
  model_type: 'llama',
  vocab_size: 17,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 32,
  tie_word_embeddings: false,
}
const model = modelOf(parseHfConfig(config, 'config.json'))
const random = new RandomStream(1, 'decode-graph.test')
const drawn = (shape: readonly number[]): HostTensor =>
  f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => 0.5 * random.normal()),
  )
const weights = new Map(
  model.modules.flatMap(({ path, parameters }) =>
    parameters.map(({ name, shape }): [string, HostTensor] => [`${path}.${name}`, drawn(shape)]),
  ),
)
const layout = layoutAdapter(
  model.modules,
  loraConfig({ r: 2, target_modules: ['q_proj', 'down_proj', 'embed_tokens', 'lm_head'] }),
)
const values = new Map(layout.tensors.filter((t) => t.trained).map((t) => [t.id, drawn(t.shape)]))
const adapter: LoadedAdapter = { name: 'a', layout, values, base: new Map() }
const none: DecodeAdapters = { weighted: [], whole: [] }

/** Logits after each run of tokens, given in turn to one executable; `rows` share the ids. */
async function logitsOf(adapters: DecodeAdapters, runs: readonly (readonly number[])[], rowWeight?: readonly number[]) {
  const { graph, state, cache } = buildDecode(model, adapters)
  const engine = referenceEngine()
  const own = adapterWeights([...adapters.weighted, ...adapters.whole])
  const executable = await engine.compile(prepare(graph, engine.composites), {
    weights: new Map([...weights, ...own]),
    state,
  })
  const batch = rowWeight?.length ?? 1
  const empty = cache.map(({ name, kvHeads, headDim }) => [name, zeros('f32', [batch, kvHeads, 0, headDim])])
  await executable.writeState(Object.fromEntries(empty))
  const found: Float32Array[] = []
  let past = 0
  for (const ids of runs) {
    const all = past + ids.length
    const grid = (size: number, at: (t: number) => number) =>
      i64(
        [batch, size],
        Array.from({ length: batch * size }, (_, i) => at(i % size)),
      )
    const { logits } = await executable.run({
      ids: grid(ids.length, (t) => ids[t] ?? 0),
      positions: grid(ids.length, (t) => past + t),
      segments: grid(ids.length, () => 1),
      keyPositions: grid(all, (t) => t),
      keySegments: grid(all, () => 1),
      lastRows: i64(
        [batch],
        Array.from({ length: batch }, (_, row) => (row + 1) * ids.length - 1),
      ),
      ...(rowWeight ? { 'rowWeight.a': f32([batch], rowWeight) } : {}),
    })
    if (logits?.dtype === 'f32') found.push(logits.data)
    past = all
  }
  await executable.dispose()
  return found
}

const row = (logits: Float32Array | undefined, index: number): number[] =>
  [...(logits ?? [])].slice(17 * index, 17 * (index + 1))
const ids = [3, 1, 4, 1, 5, 9]

describe('the decode graph', () => {
  it('gives after cached steps what the whole prefix gives', async () => {
    const steps = await logitsOf(none, [ids.slice(0, 3), [ids[3] ?? 0], ids.slice(4)])
    expect(steps.length).toBe(3)
    for (const [i, end] of [3, 4, 6].entries()) {
      const [whole] = await logitsOf(none, [ids.slice(0, end)])
      for (const [j, logit] of row(whole, 0).entries()) expect(steps[i]?.[j]).toBeCloseTo(logit, 6)
    }
  })

  it('without adapters holds nothing of theirs, and a row of weight 0 is the base bit for bit', async () => {
    expect([...buildDecode(model, none).graph.inputs.keys()].filter((name) => /adapter|rowWeight/.test(name))).toEqual(
      [],
    )
    const weighted = { weighted: [adapter], whole: [] }
    const [mixed] = await logitsOf(weighted, [ids], [0, 1, 0.5])
    const [base] = await logitsOf(none, [ids])
    const [full] = await logitsOf({ weighted: [], whole: [adapter] }, [ids])
    expect(row(mixed, 0)).toEqual(row(base, 0))
    expect(row(mixed, 1)).toEqual(row(full, 0))
    expect(row(mixed, 2)).not.toEqual(row(base, 0))
    expect(row(full, 0)).not.toEqual(row(base, 0))
  })
})
