/** @file Options of the verbs that compute with adapters and matrices: combine, extract, truncate, diff, factorize. Must not know the maths. */
import { boolean, choice, integer, list, number, numbers, option, pattern, text } from '../option.ts'
import { adaptersOption, modelSource } from '../options/model.ts'
import { type Conflict, isSet, needs, type Resolved, verb } from '../verb.ts'

const output = option('Output', text('FOLDER', 'a folder'), 'Adapter folder to write.')
const overwrite = option('Output', boolean().default(false), 'Replace what the output folder holds.')
const { offline, revision } = modelSource
const seed = option('Combination', integer(0).default(42), 'Seed of what is drawn at random.')

const cut = {
  rank: option('Rank', integer(1).optional(), 'Rank to keep; smaller matrices keep their own.'),
  energy: option(
    'Rank',
    number({ above: 0, max: 1 }).optional(),
    'Share of the energy (the sum of squares) to keep: each matrix gets the smallest rank that has it.',
  ),
}
const needsCut = (name: string) => needs(['rank', 'energy'], `${name} needs {rank} or {energy}: how much is kept`)

const combinations = ['linear', 'cat', 'svd', 'ties', 'dare_linear', 'dare_ties', 'magnitude_prune'] as const

export const combineVerb = verb(
  'combine',
  {
    adapter: {
      ...adaptersOption,
      schema: adaptersOption.schema.unwrap(),
      description: 'Adapters to combine: PATH, or `name=PATH:weight`; repeat it.',
    },
    weights: option(
      'Combination',
      numbers('WEIGHTS', 'numbers, one an adapter').optional(),
      'Weight of each adapter, in their order; negative ones take away.',
      { defaultText: '1 each' },
    ),
    combination: option(
      'Combination',
      choice(combinations).default('svd'),
      'How updates are brought together, as in PEFT.',
    ),
    rank: option('Combination', integer(1).optional(), 'Rank of the result, with svd.', {
      defaultText: 'the largest that an adapter has at the module',
    }),
    density: option(
      'Combination',
      number({ above: 0, max: 1 }).default(0.5),
      'Share of values kept, with ties, dare_linear, dare_ties and magnitude_prune.',
    ),
    majoritySign: option(
      'Combination',
      choice(['total', 'frequency']).default('total'),
      'Whose sign wins, with ties and dare_ties: that of the sum, or that of most adapters.',
    ),
    seed,
    model: option(
      'Model',
      text('MODEL', 'a folder or a Hugging Face id').optional(),
      'Base of all of them, where they name it differently; written into the config.',
      { defaultText: 'the base that the adapters name' },
    ),
    offline,
    output,
    overwrite,
  },
  {
    positional: 'adapter',
    examples: [
      {
        command: 'lowrank combine a=runs/a:0.7 b=runs/b:0.3 --output both',
        does: 'the weighted sum of two updates, as good as their rank allows',
      },
      {
        command: 'lowrank combine runs/a runs/b --weights 1,-0.5 --combination cat --output both',
        does: 'the same without loss; the ranks add up',
      },
      {
        command: 'lowrank combine runs/a runs/b --combination dare_ties --density 0.3 --seed 7 --output both',
        does: 'a random third of the values, where the signs agree',
      },
    ],
    silenced: (values) => [
      ...(values.combination === 'svd' ? [] : [{ name: 'rank', by: 'combination' }]),
      ...(prunes(values.combination) ? [] : [{ name: 'density', by: 'combination' }]),
      ...(/ties$/.test(String(values.combination)) ? [] : [{ name: 'majoritySign', by: 'combination' }]),
      ...(/^dare/.test(String(values.combination)) ? [] : [{ name: 'seed', by: 'combination' }]),
    ],
    notes:
      'cat and svd are exact in the weighted sum of the updates. linear, ties, dare_* and magnitude_prune work on A and B apart, as PEFT does, so that their product has cross terms; all adapters need one rank for them.',
  },
)

function prunes(combination: unknown): boolean {
  return combination !== 'linear' && combination !== 'cat' && combination !== 'svd'
}

export const extractVerb = verb(
  'extract',
  {
    tuned: option('Model', text('MODEL', 'a folder or a Hugging Face id'), 'Fine-tuned model.'),
    model: option(
      'Model',
      text('MODEL', 'a folder, lowrank-tiny, or a Hugging Face id'),
      'Base it was tuned from; the adapter is for it.',
    ),
    revision,
    offline,
    ...cut,
    targets: option(
      'Adapter',
      pattern('all-linear').default('all-linear'),
      'Modules whose difference becomes an update.',
    ),
    exclude: option('Adapter', pattern().optional(), 'Modules that get none, though targets names them.'),
    saveRest: option(
      'Adapter',
      boolean().default(false),
      'Put modules that differ and get no update (norms, embeddings, biases) into the adapter whole.',
    ),
    output,
    overwrite,
  },
  {
    positional: 'tuned',
    examples: [
      {
        command: 'lowrank extract tuned --model base --rank 16 --output adapter',
        does: 'the best update of rank 16 of every linear layer',
      },
      {
        command: 'lowrank extract tuned --model base --energy 0.9 --save-rest --output adapter',
        does: 'nine tenths of each difference, and what is not linear whole',
      },
    ],
    exclusive: [['rank', 'energy']],
    rules: [needsCut('extract')],
    notes: 'Says for each matrix how much of the difference is kept, and names what differs and is in no update.',
  },
)

export const truncateVerb = verb(
  'truncate',
  {
    path: option('Model', text('PATH', 'an adapter folder or a Hugging Face id'), 'Adapter to cut.'),
    offline,
    ...cut,
    output,
    overwrite,
  },
  {
    positional: 'path',
    examples: [
      {
        command: 'lowrank truncate runs/mine --rank 4 --output small',
        does: 'the best approximation of rank 4 of every update',
      },
      { command: 'lowrank truncate runs/mine --energy 0.95 --output small', does: 'as small as each update allows' },
    ],
    exclusive: [['rank', 'energy']],
    rules: [needsCut('truncate')],
  },
)

export const diffVerb = verb(
  'diff',
  {
    adapter: option('Model', list('PATH', 'two adapter folders'), 'The two adapters.'),
    offline,
  },
  {
    positional: 'adapter',
    examples: [
      {
        command: 'lowrank diff runs/a runs/b',
        does: 'norms, cosine, shared directions and effective ranks, module by module',
      },
    ],
    notes:
      'cosine is that of the whole updates; overlap is the share of the smaller space of outputs (inputs) that lies in the larger.',
  },
)

export const factorizeVerb = verb(
  'factorize',
  {
    path: option(
      'Input',
      text('FILE', 'a safetensors or torch file, or a model folder'),
      'File whose tensors are factorized.',
    ),
    tensor: option('Input', list('NAMES', 'names of tensors').optional(), 'Tensors to factorize.', {
      defaultText: 'every matrix of floats',
    }),
    rank: option('Factors', integer(1).optional(), 'Rank of the factors.', { defaultText: 'none: the spectrum alone' }),
    algorithm: option(
      'Factors',
      choice(['svd', 'randomized']).default('svd'),
      'svd is exact; randomized sketches the largest values, and repeats until more work changes nothing.',
    ),
    seed: { ...seed, group: 'Factors' },
    check: option(
      'Factors',
      boolean().default(false),
      'With randomized: find the best possible error too, at the price of the whole spectrum.',
    ),
    report: option(
      'Output',
      text('FILE', 'an HTML file').optional(),
      'Page to write with the spectra and errors as pictures.',
    ),
    output: option(
      'Output',
      text('FILE', 'a safetensors file').optional(),
      'File to write the factors to: `NAME.lora_A` [r, in] and `NAME.lora_B` [out, r].',
    ),
    overwrite: option('Output', boolean().default(false), 'Replace files that are there.'),
  },
  {
    positional: 'path',
    examples: [
      {
        command: 'lowrank factorize model.safetensors --tensor lm_head.weight --report spectrum.html',
        does: 'spectrum and error of every rank, as numbers and a picture',
      },
      {
        command: 'lowrank factorize model.safetensors --rank 32 --algorithm randomized --output factors.safetensors',
        does: 'W ≈ B·A of every matrix',
      },
    ],
    rules: [outputNeedsRank, randomizedNeedsRank],
    notes: 'error is ‖W − B·A‖ / ‖W‖. Tensors that are no matrix of floats are passed over, aloud.',
  },
)

function outputNeedsRank({ values }: Resolved): Conflict | undefined {
  return isSet(values.output) && !isSet(values.rank)
    ? { field: 'rank', message: '{output} needs {rank}: that of the factors' }
    : undefined
}

function randomizedNeedsRank({ values }: Resolved): Conflict | undefined {
  return values.algorithm === 'randomized' && !isSet(values.rank)
    ? { field: 'rank', message: '{algorithm} randomized needs {rank}: how many values are sketched' }
    : undefined
}
