/** @file Options that name rows and how they become batches. Must not know how rows are read. */
import { z } from 'zod'
import { boolean, choice, integer, list, listOf, number, option } from '../option.ts'

const group = 'Data'
const files = 'files of rows (.jsonl, .json, .csv, .tsv, .parquet), or a folder with train, valid and test files'

export const dataOption = option(
  group,
  list('FILES', files),
  'Rows: files (JSONL, JSON, CSV, TSV, Parquet), or a folder with train, valid and test files.',
)

export const trainingData = {
  data: dataOption,
  evalData: option(group, list('FILES', files).optional(), 'Rows to evaluate on while training.'),
  evalSplit: option(
    group,
    number({ above: 0, below: 1 }).optional(),
    'Share of the rows held out to evaluate on, where no evaluation rows are given.',
  ),
  splitSeed: option(
    group,
    integer(0).optional(),
    'Seed of which rows `--eval-split` holds out; the same for all runs of a study.',
    { defaultText: 'the seed of order' },
  ),
  testData: option(
    group,
    list('FILES', files).optional(),
    'Rows to measure the result on, once, after training; nothing is chosen by them.',
  ),
}

const pair = z.string().regex(/^[^=]+=[^=]+$/)

export const taskOption = option(
  group,
  choice(['auto', 'causal-lm', 'masked-lm', 'classification', 'regression', 'token-classification']).default('auto'),
  'What rows and model are for; auto: it follows from both.',
)

export const rowOptions = {
  task: taskOption,
  columns: option(
    group,
    listOf(pair, 'FIELD=COLUMN', 'pairs of a field of rows and the column that holds it, as text=sentence').optional(),
    'Where columns have other names than the fields of rows: `text=sentence,label=class`.',
  ),
  maxLength: option(
    group,
    integer(2).default(1024),
    'Text rows are cut to this length, and how many is said; `input_ids` rows never are.',
    { unit: 'tokens' },
  ),
  trainOn: option(
    group,
    choice(['completion', 'all']).default('completion'),
    'Tokens that carry loss: completions and assistant turns, or every token.',
  ),
  skipBadRows: option(
    group,
    boolean().default(false),
    'Count rows that cannot be read instead of refusing them; labels that do not fit are refused all the same.',
  ),
}

export const batching = {
  batchSize: option(group, integer(1).default(8), 'Rows in one forward pass.', { unit: 'rows' }),
  gradAccumulation: option(group, integer(1).default(1), 'Batches summed into one optimizer step.', {
    unit: 'batches',
  }),
  packing: option(
    group,
    boolean().default(false),
    'Put several short rows into one, with their own attention and positions.',
  ),
  shuffle: option(
    group,
    boolean().default(true),
    'Draw rows in a seeded order and bucket them by length; off: file order, consecutive batches.',
  ),
}
