/** @file Options of the verbs that use a model: eval, generate, chat, classify, embed, merge. Must not know how they work. */

import { boolean, choice, freeText, integer, integers, option, text } from '../option.ts'
import { dataOption, rowOptions } from '../options/data.ts'
import { dtypeOption, engineOptions } from '../options/machine.ts'
import { adaptersOption, modelOption, modelSource } from '../options/model.ts'
import { samplingOptions } from '../options/sampling.ts'
import { type Conflict, needs, type Resolved, verb } from '../verb.ts'

/** The base may be left out where an adapter names it. */
const modelAndAdapters = {
  model: { ...modelOption, schema: modelOption.schema.optional(), defaultText: 'the base that the adapter names' },
  ...modelSource,
  adapter: adaptersOption,
}

/** Of verbs that read with an encoder. */
const adapterDrop = option(
  'Model',
  integers('LAYERS', 'whole numbers or ranges, as 0,2 or 0-4').optional(),
  'Leave bottleneck adapters out of these layers, as `0-4` (AdapterDrop).',
  { defaultText: 'none' },
)

/** Without an adapter there is nothing to leave out. */
function dropNeedsAdapter({ values }: Resolved): Conflict | undefined {
  if (values.adapterDrop === undefined || values.adapter !== undefined) return undefined
  return { field: 'adapter-drop', message: '{adapterDrop} leaves layers of an adapter out: name it with {adapter}' }
}

const needsModel = (name: string) =>
  needs(['model', 'adapter'], `${name} needs {model}: a folder, lowrank-tiny, or a Hugging Face id (or an {adapter})`)

export const evalVerb = verb(
  'eval',
  {
    ...modelAndAdapters,
    adapterDrop,
    data: dataOption,
    ...rowOptions,
    batchSize: option('Data', integer(1).default(8), 'Rows in one forward pass.', { unit: 'rows' }),
    perExample: option('Data', boolean().default(false), 'Report the loss of each row besides.'),
    report: option(
      'Output',
      text('FILE', 'an .html file').optional(),
      'Write a page: the figures, and of classifiers what was told as what, of regression told against true.',
    ),
    ...engineOptions,
    dtype: dtypeOption,
  },
  {
    examples: [
      { command: 'lowrank eval --model lowrank-tiny --data test.jsonl', does: 'loss and perplexity of a base' },
      {
        command: 'lowrank eval --adapter runs/mine --data test.jsonl --json',
        does: 'of an adapter on the base it names',
      },
    ],
    rules: [needsModel('eval'), dropNeedsAdapter],
  },
)

export const generateVerb = verb(
  'generate',
  {
    ...modelAndAdapters,
    prompt: option('Prompt', freeText('TEXT').optional(), 'Text to continue; `-` reads it from stdin.'),
    ids: option(
      'Prompt',
      integers('IDS', 'token ids, as 1,2,3').optional(),
      'Token ids to continue, as `1,2,3`; no tokenizer needed.',
    ),
    ...samplingOptions(0),
    ...engineOptions,
    dtype: dtypeOption,
  },
  {
    examples: [
      { command: "lowrank generate --model lowrank-tiny --prompt 'One day'", does: 'the likeliest continuation' },
      {
        command: "lowrank generate --adapter runs/mine --prompt 'Hello' --temperature 0.8 --top-p 0.95",
        does: 'sample with an adapter on the base it names',
      },
      {
        command: 'lowrank generate --model m --adapter a=runs/a:0.5 --adapter b=runs/b:0.5 --prompt Hi',
        does: 'two adapters, half each',
      },
    ],
    exclusive: [['prompt', 'ids']],
    rules: [needsModel('generate'), needs(['prompt', 'ids'], 'generate needs {prompt} (a text) or {ids} (token ids)')],
  },
)

export const chatVerb = verb(
  'chat',
  {
    ...modelAndAdapters,
    system: option('Prompt', freeText('TEXT').optional(), 'System message that opens the conversation.'),
    ...samplingOptions(0.7),
    ...engineOptions,
    dtype: dtypeOption,
  },
  {
    examples: [
      {
        command: 'lowrank chat --model HuggingFaceTB/SmolLM2-135M-Instruct',
        does: 'talk; /clear starts anew, /exit or Ctrl-D ends',
      },
      { command: 'echo Hello | lowrank chat --adapter runs/mine', does: 'one turn a line of input' },
    ],
    rules: [needsModel('chat')],
    notes:
      'A line is a turn; end a line with \\ to go on in the next. Ctrl-C stops the answer, a second one ends the chat.',
  },
)

/** What classify and embed read. */
const askedRows = {
  text: option('Rows', freeText('TEXT').optional(), 'The text; `-` reads it from stdin.'),
  textPair: option('Rows', freeText('TEXT').optional(), 'The second text, where the model reads pairs.'),
  data: { ...dataOption, group: 'Rows', schema: dataOption.schema.optional() },
  columns: { ...rowOptions.columns, group: 'Rows' },
  maxLength: { ...rowOptions.maxLength, group: 'Rows' },
  batchSize: option('Rows', integer(1).default(32), 'Rows in one forward pass; those of like length go together.', {
    unit: 'rows',
  }),
}

/** `--text-pair` says nothing without `--text`. */
function pairNeedsText({ values }: Resolved): Conflict | undefined {
  if (values.textPair === undefined || values.text !== undefined) return undefined
  return { field: 'text-pair', message: '{textPair} is the second of two texts: give the first as {text}' }
}

const needsRows = (name: string) =>
  needs(['text', 'data'], `${name} needs {text}, or {data}: files with a text in each row`)

const ADAPTERS_BY_ROW =
  'Of several adapters, named name=PATH, each row says its own: "adapter": "name". Rows may have a label; it is left alone.'

export const classifyVerb = verb(
  'classify',
  {
    ...modelAndAdapters,
    adapterDrop,
    ...askedRows,
    topK: option('Output', integer(1).optional(), 'Labels of a row, the likeliest.', { defaultText: 'all' }),
    ...engineOptions,
    dtype: dtypeOption,
  },
  {
    examples: [
      {
        command: "lowrank classify --adapter runs/mine --text 'What a day'",
        does: 'the labels of a text, each with its probability',
      },
      { command: 'lowrank classify --adapter runs/mine --data rows.csv --json', does: 'of every row of a file' },
    ],
    exclusive: [['text', 'data']],
    rules: [needsModel('classify'), dropNeedsAdapter, pairNeedsText, needsRows('classify')],
    notes: ADAPTERS_BY_ROW,
  },
)

export const embedVerb = verb(
  'embed',
  {
    ...modelAndAdapters,
    adapterDrop,
    ...askedRows,
    pooling: option(
      'Output',
      choice(['mean', 'cls']).default('mean'),
      'A text’s vector: the mean of the last hidden states of its tokens, or the first token’s.',
    ),
    normalize: option('Output', boolean().default(false), 'Divide each vector by its length.'),
    output: option(
      'Output',
      text('FILE', 'a .safetensors or .jsonl file').optional(),
      'Write the vectors to a file: .safetensors (tensor `embeddings`, a row a text) or .jsonl.',
    ),
    overwrite: option('Output', boolean().default(false), 'Replace the output file.'),
    ...engineOptions,
    dtype: dtypeOption,
  },
  {
    examples: [
      { command: "lowrank embed --model m --text 'What a day' --normalize --json", does: 'the vector of a text' },
      {
        command: 'lowrank embed --model m --data rows.csv --columns text=body --output vectors.safetensors',
        does: 'of every row of a file',
      },
    ],
    exclusive: [['text', 'data']],
    rules: [needsModel('embed'), dropNeedsAdapter, pairNeedsText, needsRows('embed')],
    notes: ADAPTERS_BY_ROW,
  },
)

export const mergeVerb = verb(
  'merge',
  {
    ...modelAndAdapters,
    output: option('Output', text('FOLDER', 'a folder'), 'Model folder to write.'),
    overwrite: option('Output', boolean().default(false), 'Replace what the output folder holds.'),
  },
  {
    examples: [
      {
        command: 'lowrank merge --adapter runs/mine --output merged',
        does: 'base and adapter as one model, in the base’s dtype',
      },
    ],
    rules: [needs(['adapter'], 'merge needs {adapter}: the folder of the adapter to fold in')],
    notes: 'Tokenizer files are copied; the sum is computed in f32 and stored in the base’s dtype.',
  },
)
