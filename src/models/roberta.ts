/**
 * @file RoBERTa (arXiv 1907.11692) and XLM-RoBERTa (arXiv 1911.02116): BERT's body, positions counted from behind the
 * padding token's, a classifier of two layers. Must not know training or engines. Fields: transformers `RobertaConfig`.
 */
import type { HfConfig } from '../formats/hf-config.ts'
import { type BertConfig, bertBody, bertFields, denseHead, labelLayer, tiedWords } from './bert.ts'
import { encoder } from './encoder.ts'

export const roberta = encoder<BertConfig>({
  classes: { roberta: 'Roberta', 'xlm-roberta': 'XLMRoberta' },
  prefix: 'roberta',
  config: robertaConfig,
  body: bertBody,
  sequenceHead: (net, c, rows, labels) => denseHead(net, c, rows, labels, 'tanh'),
  tokenHead: (net, c, rows, labels) => labelLayer(net, rows, labels, c.dropout.classifier),
  maskedHead: {
    transform: (net, c, rows) =>
      net.scope('lm_head', () => {
        const inner = net.g.gelu(net.linear('dense', rows, c.hiddenSize, { bias: true }), { kind: 'erf' })
        return net.layerNorm('layer_norm', inner, c.eps)
      }),
    output: (c) => ({
      path: 'lm_head.decoder',
      vocabSize: c.vocabSize,
      bias: true,
      biasOf: 'lm_head',
      tiedTo: tiedWords(c),
    }),
  },
  block: /^roberta\.encoder\.layer\.\d+/,
})

function robertaConfig(raw: HfConfig): BertConfig {
  const fields = bertFields(raw, { scope: 'roberta', vocabSize: 50265 })
  const positionOffset = raw.int('pad_token_id', { min: 0, max: fields.maxPositions - 2, default: 1 }) + 1
  // Its tokenizers say nothing of token types, so transformers' models see the first alone.
  return { ...fields, positionOffset, maxPositions: fields.maxPositions - positionOffset, tokenTypes: 0 }
}
