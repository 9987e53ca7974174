/**
 * @file LoRA+ (arXiv 2402.12354): B learns faster than A, embeddings have a rate of their own. The groups are those of
 * PEFT's `create_loraplus_optimizer` (peft/optimizers/loraplus.py 0.21).
 * Must not know optimizers' maths.
 */
import type { ModuleInfo } from '../models/modules.ts'
import type { AdapterTensor } from '../peft/layout.ts'
import type { GroupRule } from './parameter-groups.ts'

export interface LoraPlus {
  /** Rate of B over the rate of A. */
  readonly ratio: number
  /** Highest rate of A and B of an embedding, whatever `learningRate` is; it follows the schedule. */
  readonly embeddingRate: number
  /** Highest rate of A. */
  readonly learningRate: number
  /** Modules whose weights no decay touches: torch's LayerNorms. */
  readonly layerNorms: ReadonlySet<string>
}

/** Paths of a model's LayerNorms: norms with a bias, where RMSNorms have none. */
export function layerNorms(modules: readonly ModuleInfo[]): Set<string> {
  const isLayerNorm = ({ kind, parameters }: ModuleInfo): boolean =>
    kind === 'norm' && parameters.some(({ name }) => name === 'bias')
  return new Set(modules.filter(isLayerNorm).map(({ path }) => path))
}

/** Group rule of a run with LoRA+. */
export function loraPlusRule({
  ratio,
  embeddingRate,
  learningRate,
  layerNorms,
}: LoraPlus): Pick<GroupRule, 'rateFactor' | 'decays'> {
  const embeddingFactor = learningRate === 0 ? 0 : embeddingRate / learningRate
  return {
    rateFactor(tensor) {
      if (isOfEmbedding(tensor)) return embeddingFactor
      return tensor.role === 'lora_B' || isVector(tensor) ? ratio : 1
    },
    decays: (tensor) => !isVector(tensor) || !(isBias(tensor) || layerNorms.has(tensor.module)),
  }
}

/** Updates of an embedding's rows, which have keys of their own; an update of its `weight` as a parameter is like any other. */
const isOfEmbedding = ({ id }: AdapterTensor): boolean => /\.lora_embedding_[AB]$/.test(id)
const isVector = ({ shape }: AdapterTensor): boolean => shape.length === 1
const isBias = ({ role, parameter }: AdapterTensor): boolean =>
  role === 'bias' || role === 'lora_bias' || parameter === 'bias'
