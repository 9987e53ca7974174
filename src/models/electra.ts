/**
 * @file ELECTRA (arXiv 2003.10555): BERT's body over embeddings of a width of their own, a classifier of two layers.
 * Must not know training, adapters or engines. Source of the fields: transformers `ElectraConfig`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import { type BertConfig, bertBody, bertFields, denseHead, labelLayer, tiedWords } from './bert.ts'
import { encoder } from './encoder.ts'
import { LARGEST } from './model.ts'

export const electra = encoder<BertConfig>({
  classes: { electra: 'Electra' },
  prefix: 'electra',
  config: electraConfig,
  body: bertBody,
  sequenceHead: (net, c, rows, labels) => denseHead(net, c, rows, labels, 'gelu'),
  tokenHead: (net, c, rows, labels) => labelLayer(net, rows, labels, c.dropout.classifier),
  maskedHead: {
    transform: (net, c, rows) =>
      net.scope('generator_predictions', () => {
        const inner = net.g.gelu(net.linear('dense', rows, c.embeddingSize, { bias: true }), { kind: 'erf' })
        return net.layerNorm('LayerNorm', inner, c.eps)
      }),
    output: (c) => ({ path: 'generator_lm_head', vocabSize: c.vocabSize, bias: true, tiedTo: tiedWords(c) }),
  },
  block: /^electra\.encoder\.layer\.\d+/,
})

function electraConfig(raw: HfConfig): BertConfig {
  // Of the multiple-choice head alone.
  for (const field of ['type', 'use_proj', 'activation', 'last_dropout', 'first_dropout', 'proj_to_labels'])
    raw.value(`summary_${field}`)
  const defaults = { scope: 'electra', vocabSize: 30522, hiddenSize: 256, heads: 4, innerSize: 1024 }
  const fields = bertFields(raw, defaults)
  return { ...fields, embeddingSize: raw.int('embedding_size', { min: 1, max: LARGEST.width, default: 128 }) }
}
