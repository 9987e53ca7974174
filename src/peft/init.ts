/**
 * @file Values an adapter starts from: what its method draws at each site, and base values for what it trains besides.
 * Must not know graphs, engines or files.
 */
import { type TypedTensor, tensor } from '../tensor/host-tensor.ts'
import type { AdapterLayout } from './adapter-layout.ts'
import { asF32 } from './low-rank-update.ts'
import { type InitOptions, idAt, type ReadBase } from './method.ts'

export type { InitOptions, ReadBase } from './method.ts'

/**
 * Every trained tensor of a layout at its first value, by id, all f32. Reads only the base tensors it needs: DoRA's
 * weights, trained biases, whole modules and token rows.
 */
export async function initAdapter(
  layout: AdapterLayout,
  options: InitOptions,
  base: ReadBase,
): Promise<Map<string, TypedTensor<'f32'>>> {
  const values = new Map<string, TypedTensor<'f32'>>()
  const twins = new Set(layout.tensors.flatMap(({ id, sameAs }) => (sameAs === undefined ? [] : [id])))
  for (const site of layout.sites) {
    if (Object.values(site.ids).some((id) => twins.has(id))) continue // a tied head has the embedding's
    const started = Object.entries(await site.method.start(site, options, base))
    for (const [name, value] of started) values.set(idAt(site, name), value)
  }
  const rows = new Map(layout.tokens.map((token) => [token.id, token.indices]))
  for (const { id, role, source, trained, sameAs, shape } of layout.tensors) {
    if (!trained || sameAs || source === undefined) continue
    const whole = asF32(await base(source), source)
    const indices = role === 'tokens' ? rows.get(id) : undefined
    values.set(id, tensor('f32', shape, indices ? takeRows(whole, indices, shape[1] ?? 0) : whole.slice()))
  }
  return values
}

function takeRows(values: Float32Array, indices: readonly number[], width: number): Float32Array {
  const out = new Float32Array(indices.length * width)
  for (const [i, index] of indices.entries()) out.set(values.subarray(index * width, (index + 1) * width), i * width)
  return out
}
