/**
 * @file LoRA-FA (arXiv 2308.03303) as PEFT's optimizer has it (peft/optimizers/lorafa.py 0.21): A keeps its first
 * values, and B's gradient is projected so that the update of B·A comes nearest to that of full fine-tuning:
 * g ← s⁻² · g · (A·Aᵀ + 10⁻⁸·I)⁺. Must not know graphs, optimizers' moments or files.
 */
import { symmetricPseudoInverse } from '../linalg/pseudo-inverse.ts'
import type { AdapterSite } from '../peft/layout.ts'
import { idAt } from '../peft/method.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { type HostTensor, type TypedTensor, tensor } from '../tensor/host-tensor.ts'

/** PEFT's ridge on A·Aᵀ. */
const RIDGE = 1e-8
/** torch's pinv counts eigenvalues below this share of the largest, times the rank, as zero in f32. */
const F32_EPSILON = 2 ** -23

/** What LoRA-FA holds still and what it multiplies gradients with. */
export interface LoraFa {
  /** A of every site by id, which no step changes. */
  readonly held: ReadonlyMap<string, HostTensor>
  /** `f32[r, r]` by the id of B. */
  readonly projections: ReadonlyMap<string, TypedTensor<'f32'>>
}

/**
 * Prepares LoRA-FA for sites at their first values.
 * @throws LowrankError `config` where A of a site is no fixed random matrix: PEFT's optimizer pairs A and B by name, so
 * DoRA's magnitude and a bias on B get in between; A of an embedding starts at zero and would stay there.
 */
export function loraFa(sites: readonly AdapterSite[], values: ReadonlyMap<string, HostTensor>): LoraFa {
  const held = new Map<string, HostTensor>()
  const projections = new Map<string, TypedTensor<'f32'>>()
  for (const site of sites) {
    refuseSite(site)
    const a = values.get(idAt(site, 'a'))
    invariant(a?.dtype === 'f32', `${site.path} has no A`)
    held.set(idAt(site, 'a'), a)
    projections.set(idAt(site, 'b'), projection(a, site.scale))
  }
  return { held, projections }
}

function refuseSite({ path, kind, ids }: AdapterSite): void {
  const refuse = (why: string): never => {
    throw new LowrankError('config', `--lora-fa: ${why}`, { field: 'lora-fa' })
  }
  if (ids.magnitude) refuse(`DoRA trains a magnitude at ${path}, which LoRA-FA does not know`)
  if (ids.bBias) refuse(`lora_bias trains a bias on B at ${path}, which LoRA-FA does not know`)
  if (kind === 'embedding') refuse(`A of an embedding, which ${path} is, starts at zero and would stay there`)
}

/** s⁻² · (A·Aᵀ + 10⁻⁸·I)⁺, `f32[r, r]`. @param a f32[r, in] */
export function projection(a: TypedTensor<'f32'>, scale: number): TypedTensor<'f32'> {
  const [r = 0, width = 0] = a.shape
  const gram = new Float64Array(r * r)
  for (let i = 0; i < r; i++)
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? RIDGE : 0
      for (let k = 0; k < width; k++) sum += (a.data[i * width + k] ?? 0) * (a.data[j * width + k] ?? 0)
      gram[i * r + j] = sum
      gram[j * r + i] = sum
    }
  const inverse = symmetricPseudoInverse(gram, r, r * F32_EPSILON)
  return tensor(
    'f32',
    [r, r],
    Float32Array.from(inverse, (value) => value / scale ** 2),
  )
}
