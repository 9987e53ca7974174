/** @file A byte-level tokenizer of 263 ids made in memory, for tests that need one without any file. */
import { createTokenizer, type TokenizerFiles } from '../../src/text/load-tokenizer.ts'
import type { Tokenizer } from '../../src/text/tokenizer.ts'

export const BOS = '<|bos|>'
export const EOS = '<|eos|>'
export const TURN_END = '<|im_end|>'

/** ChatML with generation marks. */
export const MARKED_TEMPLATE = `{%- for message in messages %}
  {%- if message.role == 'assistant' %}
    {{- '<|im_start|>assistant\\n' }}
    {%- generation %}
    {{- message.content + '<|im_end|>' }}
    {%- endgeneration %}
    {{- '\\n' }}
  {%- else %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}`

/** The same without marks. */
export const PLAIN_TEMPLATE = MARKED_TEMPLATE.replace(/\n {4}\{%- (?:end)?generation %\}/g, '')

/** GPT-2's table: the character that stands for each byte. */
function byteCharacters(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    return String.fromCharCode(printable ? byte : next++)
  })
}

/** Parsed files; ids 0–255 are bytes, 256 `he`, 257 `Ġt`, then BOS 258, EOS 259, `<|im_start|>` 260, `<|im_end|>` 261, pad 262. */
export function tinyTokenizerFiles(options: { addBos?: boolean; chatTemplate?: string } = {}): TokenizerFiles {
  const tokens = [...byteCharacters(), 'he', 'Ġt']
  const specials = [BOS, EOS, '<|im_start|>', TURN_END, '<|pad|>']
  const sequence = { Sequence: { id: 'A', type_id: 0 } }
  return {
    folder: 'tiny',
    tokenizerJson: {
      version: '1.0',
      added_tokens: specials.map((content, i) => ({
        id: tokens.length + i,
        content,
        special: true,
        normalized: false,
      })),
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: {
        type: 'TemplateProcessing',
        single: options.addBos ? [{ SpecialToken: { id: BOS, type_id: 0 } }, sequence] : [sequence],
        pair: [sequence, { Sequence: { id: 'B', type_id: 0 } }],
        special_tokens: { [BOS]: { id: BOS, ids: [tokens.length], tokens: [BOS] } },
      },
      decoder: { type: 'ByteLevel' },
      model: { type: 'BPE', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: ['h e', 'Ġ t'] },
    },
    tokenizerConfig: {
      bos_token: BOS,
      eos_token: { content: EOS },
      pad_token: '<|pad|>',
      ...(options.chatTemplate === undefined ? {} : { chat_template: options.chatTemplate }),
    },
  }
}

export function tinyTokenizer(options: { addBos?: boolean; chatTemplate?: string } = {}): Tokenizer {
  return createTokenizer(tinyTokenizerFiles(options))
}
