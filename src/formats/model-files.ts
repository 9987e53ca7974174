/** @file Names of the small files that stand beside a model's weights. Must not know where they are. */

/** What makes a tokenizer, and how the model's authors mean it to be sampled: goes wherever the model is written. */
export const COMPANION_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'vocab.txt',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'generation_config.json',
] as const
