/** @file Options of quickstart, inspect, doctor, bench and schema. Must not know how they work. */

import { boolean, choice, integer, list, option, switchOf, text } from '../option.ts'
import { adapterOptions } from '../options/adapter.ts'
import { rowOptions } from '../options/data.ts'
import { engineOptions } from '../options/machine.ts'
import { modelSource } from '../options/model.ts'
import { seedOption } from '../options/training.ts'
import { verb } from '../verb.ts'

export const quickstartVerb = verb(
  'quickstart',
  {
    output: option('Output', text('FOLDER', 'a folder').optional(), 'Run folder to write.', {
      defaultText: 'runs/<date>-quickstart',
    }),
    overwrite: option('Output', boolean().default(false), 'Replace what the output folder holds.'),
    seed: seedOption,
    ...engineOptions,
  },
  {
    examples: [
      { command: 'lowrank quickstart', does: 'train, measure, and say what to do next' },
      { command: 'lowrank quickstart --output runs/first --json', does: 'the same for programs' },
    ],
  },
)

export const inspectVerb = verb(
  'inspect',
  {
    path: option(
      'Input',
      text('PATH', 'a file or folder, or a Hugging Face id in the cache'),
      'File or folder to look at.',
    ),
    revision: modelSource.revision,
    tensors: option('Output', boolean().default(false), 'List every tensor with dtype and shape.'),
  },
  {
    positional: 'path',
    examples: [
      { command: 'lowrank inspect runs/mine', does: 'what a run trained, from which base, at what size' },
      { command: 'lowrank inspect model.safetensors --tensors', does: 'every tensor of a file' },
    ],
  },
)

export const doctorVerb = verb(
  'doctor',
  { selfTest: option('Output', boolean().default(true), 'Compute something small on each engine and compare.') },
  { examples: [{ command: 'lowrank doctor', does: 'look at this machine' }] },
)

export const benchVerb = verb(
  'bench',
  {
    model: option(
      'Model',
      text('MODEL', 'a folder, lowrank-tiny, or a Hugging Face id').optional(),
      'Base model to measure.',
      {
        defaultText: 'random weights of SmolLM2-135M’s shape',
      },
    ),
    ...modelSource,
    fromConfig: option(
      'Model',
      text('FILE', 'a config.json').optional(),
      'Measure random weights of this config.json.',
    ),
    sequence: option('Measurement', integer(2).default(512), 'Length of a row.', { unit: 'tokens' }),
    batchSize: option('Measurement', integer(1).default(1), 'Rows in a step.', { unit: 'rows' }),
    steps: option('Measurement', integer(1).default(5), 'Steps measured, after one that warms up.', { unit: 'steps' }),
    data: option(
      'Measurement',
      list('FILES', 'files of rows').optional(),
      'Train on rows drawn from these files, on both sides the same, instead of on random tokens.',
    ),
    tokenizer: option('Measurement', text('PATH', 'a folder with tokenizer.json').optional(), 'Tokenizer for --data.', {
      defaultText: 'that of the model',
    }),
    maxLength: rowOptions.maxLength,
    trainOn: rowOptions.trainOn,
    rank: adapterOptions.rank,
    dropout: adapterOptions.dropout,
    targets: adapterOptions.targets,
    variants: option(
      'Measurement',
      boolean().default(false),
      'Measure rank 64 and dropout 0.05 besides, and what they cost.',
    ),
    profile: option('Measurement', boolean().default(false), 'Measure besides where the time of a step goes.'),
    output: option(
      'Measurement',
      text('FILE', 'a file').default('bench-profile.html'),
      'Page to write with --profile.',
    ),
    python: option(
      'Measurement',
      text('PATH', 'a Python program').optional(),
      'Python with torch and peft to measure besides.',
      {
        defaultText: 'python3 where it has them',
      },
    ),
    peer: option('Measurement', boolean().default(true), 'Measure PyTorch + PEFT besides.'),
    ...engineOptions,
    recompute: option(
      'Machine',
      switchOf(['on', 'off']).default('off'),
      'Recompute activations in the backward pass to save memory.',
    ),
  },
  {
    examples: [
      { command: 'lowrank bench', does: 'SmolLM2-135M’s shape, sequence 512, batch 1, rank 8' },
      {
        command: 'lowrank bench --sequence 256 --recompute --python venv/bin/python',
        does: 'another length, with recomputation',
      },
      { command: 'lowrank bench --profile --no-peer', does: 'where the time of a step goes, as a table and a page' },
      { command: 'lowrank bench --model DIR --data rows.jsonl --batch-size 8', does: 'real rows, with their lengths' },
    ],
    exclusive: [['model', 'fromConfig']],
  },
)

const described = [
  'train',
  'study',
  'eval',
  'generate',
  'chat',
  'merge',
  'convert',
  'quickstart',
  'inspect',
  'doctor',
  'bench',
] as const

export const schemaVerb = verb(
  'schema',
  { verb: option('Input', choice(described).default('train'), 'Verb whose options are described.') },
  {
    positional: 'verb',
    examples: [
      {
        command: 'lowrank schema > run.schema.json',
        does: 'then `# yaml-language-server: $schema=run.schema.json` in run.yaml',
      },
    ],
  },
)
