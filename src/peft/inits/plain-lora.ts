/**
 * @file An adapter whose start was taken out of the base, as a plain LoRA of the untouched base: with the first factors
 * B₀·A₀ it is W + s·(B·A − B₀·A₀) = W + s·[B, −B₀]·[A; A₀], of twice the rank.
 * Must not know files, graphs or how the start was found.
 */
import { changesBase } from '../../formats/lora-init.ts'
import type { PeftLoraConfig } from '../../formats/peft-fields.ts'
import { invariant } from '../../support/errors.ts'
import { f32, type HostTensor, type TypedTensor } from '../../tensor/host-tensor.ts'
import type { AdapterLayout } from '../adapter-layout.ts'
import { asF32 } from '../low-rank-update.ts'
import { type AdapterSite, idAt } from '../method.ts'
import type { Factors } from './split-weight.ts'

/** First factors of the sites whose base was changed, by module path. */
export type FirstFactors = ReadonlyMap<string, Factors>

/**
 * The config of the plain adapter. Every alpha grows with its rank so that the scale stays: twice, or √2 times with
 * rsLoRA (where PEFT doubles the patterns' too, and so changes their scale).
 */
export function plainConfig(config: PeftLoraConfig): PeftLoraConfig {
  if (!changesBase(config.init_lora_weights)) return config
  const factor = config.use_rslora ? Math.SQRT2 : 2
  const times = (pattern: Readonly<Record<string, number>>, by: number): Record<string, number> =>
    Object.fromEntries(Object.entries(pattern).map(([key, value]) => [key, by * value]))
  return {
    ...config,
    init_lora_weights: true,
    loftq_config: {},
    r: 2 * config.r,
    lora_alpha: factor * config.lora_alpha,
    rank_pattern: times(config.rank_pattern, 2),
    alpha_pattern: times(config.alpha_pattern, factor),
  }
}

/** Values of the plain adapter, by the same ids. Embeddings start as ever; their factors are padded with zeros. */
export function plainValues(
  { sites }: Pick<AdapterLayout, 'sites'>,
  values: ReadonlyMap<string, HostTensor>,
  first: FirstFactors,
): Map<string, HostTensor> {
  const out = new Map(values)
  for (const site of sites) {
    const [a, b] = [valueAt(values, site, 'a'), valueAt(values, site, 'b')]
    const start = first.get(site.path)
    out.set(idAt(site, 'a'), below(a, start?.a))
    out.set(idAt(site, 'b'), beside(b, start?.b))
  }
  return out
}

function valueAt(values: ReadonlyMap<string, HostTensor>, site: AdapterSite, name: string): HostTensor {
  const value = values.get(idAt(site, name))
  invariant(value, `${idAt(site, name)} has no value`)
  return value
}

/** [A; A₀]: f32[2r, in]. */
function below(a: HostTensor, first: HostTensor | undefined): TypedTensor<'f32'> {
  const [r = 0, columns = 0] = a.shape
  const out = new Float32Array(2 * r * columns)
  out.set(asF32(a, 'lora_A'))
  if (first) out.set(asF32(first, 'lora_A'), r * columns)
  return f32([2 * r, columns], out)
}

/** [B, −B₀]: f32[out, 2r]. */
function beside(b: HostTensor, first: HostTensor | undefined): TypedTensor<'f32'> {
  const [rows = 0, r = 0] = b.shape
  const [now, then] = [asF32(b, 'lora_B'), first && asF32(first, 'lora_B')]
  const out = new Float32Array(rows * 2 * r)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < r; j++) {
      out[i * 2 * r + j] = now[i * r + j] ?? 0
      if (then) out[i * 2 * r + r + j] = -(then[i * r + j] ?? 0)
    }
  return f32([rows, 2 * r], out)
}
