/** @file BERT's kind of tokenizer, made in memory: letters, their continuations and a few words around [CLS] and [SEP]. */
import { createTokenizer, type TokenizerFiles } from '../../src/text/load-tokenizer.ts'
import type { Tokenizer } from '../../src/text/tokenizer.ts'

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz']
const TOKENS = [
  ...['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'],
  ...LETTERS,
  ...LETTERS.map((letter) => `##${letter}`),
  ...['good', 'bad', 'rome'],
]

/** Ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, letters from 5, ##letters from 31, good 57, bad 58, rome 59. */
export function tinyWordpieceFiles(folder = 'tiny-wordpiece'): TokenizerFiles {
  const specials = TOKENS.slice(0, 5)
  return {
    folder,
    tokenizerJson: {
      version: '1.0',
      added_tokens: specials.map((content, id) => ({ id, content, special: true, normalized: false })),
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] },
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])),
      },
    },
    tokenizerConfig: {
      pad_token: '[PAD]',
      unk_token: '[UNK]',
      cls_token: '[CLS]',
      sep_token: '[SEP]',
      mask_token: '[MASK]',
    },
  }
}

export function tinyWordpiece(): Tokenizer {
  return createTokenizer(tinyWordpieceFiles())
}
