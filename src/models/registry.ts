/** @file All model families by `model_type`. A new family is its file and one name here. */
import type { HfConfig } from '../formats/hf-config.ts'
import type { HeadSpec } from '../formats/task.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import { bert } from './bert.ts'
import { debertaV2 } from './deberta-v2.ts'
import { distilbert } from './distilbert.ts'
import { electra } from './electra.ts'
import { gemma } from './gemma.ts'
import { gemma2 } from './gemma2.ts'
import { gemma3 } from './gemma3.ts'
import { gptNeox } from './gpt-neox.ts'
import { gpt2 } from './gpt2.ts'
import { llama } from './llama.ts'
import { mistral } from './mistral.ts'
import type { Model, ModelFamily } from './model.ts'
import { modernbert } from './modernbert.ts'
import { opt } from './opt.ts'
import { phi3 } from './phi3.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'
import { roberta } from './roberta.ts'

const decoders = [llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3, phi3, gpt2, gptNeox, opt]
const encoders = [bert, roberta, distilbert, electra, debertaV2, modernbert]
const families: readonly ModelFamily[] = [...decoders, ...encoders]

/** Every `model_type` that lowrank builds. */
export const modelTypes: readonly string[] = families.flatMap((family) => family.modelTypes)

/**
 * The model that a config.json describes.
 * @param head instead of the one that the config means
 * @throws LowrankError naming an unknown model_type and the nearest known one
 */
export function modelOf(raw: HfConfig, head?: HeadSpec): Model {
  const modelType = raw.string('model_type')
  const family = families.find((f) => f.modelTypes.includes(modelType))
  if (family) return family.open(raw, modelType, head)
  const [close] = nearest(modelType, modelTypes)
  throw new LowrankError(
    'unsupported',
    `${raw.file}: model_type "${modelType}" is not supported; lowrank builds ${modelTypes.join(', ')}`,
    {
      file: raw.file,
      field: 'model_type',
      suggestion: close && `did you mean ${close}?`,
    },
  )
}
