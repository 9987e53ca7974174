/** @file Options of the adapter that is trained, as PEFT's LoraConfig has them. Must not know the maths behind them. */
import { boolean, booleanOr, choice, integer, integers, list, number, option, pattern, text } from '../option.ts'

const group = 'Adapter'
/** Starts that PEFT knows and lowrank does not; formats/lora-init.ts says the same of a config file. */
const REFUSED_INITS = {
  corda: 'CorDA needs a covariance file that PEFT computes on a GPU',
  mica: 'MiCA trains A alone against minor components',
  lora_ga: 'LoRA-GA needs gradients of the whole model before training',
}
const layers = 'whole numbers or ranges, as 0,2 or 0-4'

export const adapterOptions = {
  method: option(
    group,
    choice(['lora', 'full', 'houlsby', 'pfeiffer', 'parallel', 'bitfit', 'ln-tuning', 'head']).default('lora'),
    'What is trained: a low-rank update of each target, or every weight; of encoders also bottleneck adapters (`houlsby`, ' +
      '`pfeiffer`, `parallel`), the biases, the LayerNorms, or the head alone.',
  ),
  rank: option(group, integer(1).default(8), 'Rank r of the update.'),
  alpha: option(
    group,
    number({ above: 0 }).default(16),
    'The update is scaled by alpha / rank (alpha / √rank with rslora).',
  ),
  dropout: option(group, number({ min: 0, below: 1 }).default(0), 'Probability of dropout on the input of A.'),
  targets: option(
    group,
    pattern('all-linear').default('all-linear'),
    'Modules that get an adapter: names, a regular expression in slashes, or every linear layer but the output head.',
  ),
  exclude: option(group, pattern().optional(), 'Modules that get none, though targets names them.'),
  layers: option(group, integers('LAYERS', layers).optional(), 'Only these layers get an adapter, as `0,2` or `0-4`.', {
    defaultText: 'all',
  }),
  bias: option(
    group,
    choice(['none', 'all', 'lora_only']).default('none'),
    'Bias vectors trained besides: none, all, or those of the targets.',
  ),
  modulesToSave: option(
    group,
    list('NAMES', 'a list of module names').optional(),
    'Modules trained in full and saved with the adapter.',
  ),
  rslora: option(group, boolean().default(false), 'Scale by alpha / √rank instead of alpha / rank.'),
  dora: option(group, boolean().default(false), 'Train a magnitude for each output row besides (DoRA).'),
  init: option(
    group,
    booleanOr(['gaussian', 'orthogonal', 'pissa', 'olora', 'loftq', 'eva'], 'pissa_niter_', REFUSED_INITS).default(
      true,
    ),
    'Start of the adapter: `true` Kaiming-uniform A and zero B, `gaussian` normal A, `false` both random, `orthogonal` both ' +
      'random with B·A = 0; `pissa`, `olora`, `loftq` take theirs out of the base, `eva` looks at the rows.',
  ),
  initForm: option(
    group,
    choice(['plain', 'peft']).default('plain'),
    'How an adapter whose start was taken out of the base is saved: `plain` as a LoRA of twice the rank that fits the ' +
      'untouched base, `peft` as PEFT does, for a reader that takes the start out of the base again.',
  ),
  loraConfig: option(
    group,
    text('FILE', 'a JSON file').optional(),
    'Every other LoraConfig field as adapter_config.json spells it (`rank_pattern`, `lora_bias`, …); a flag wins.',
  ),
  loraPlusRatio: option(group, number({ above: 0 }).default(1), 'Learning rate of B over that of A (LoRA+).'),
  loraPlusEmbeddingRate: option(
    group,
    number({ min: 0 }).default(1e-6),
    'Highest learning rate of an embedding’s A and B with `--lora-plus-ratio`, as PEFT sets it apart.',
  ),
  bottleneck: option(
    group,
    integer(1, 1 << 16).default(64),
    'Size of a bottleneck adapter (houlsby, pfeiffer, parallel).',
  ),
  adapterInitStd: option(
    group,
    number({ min: 0, max: 1 }).default(1e-2),
    'Standard deviation of Houlsby adapters’ first weights, cut at twice it.',
  ),
  adapterDrop: option(
    group,
    integers('LAYERS', layers).optional(),
    'Layers without a bottleneck adapter, as `0-4` (AdapterDrop).',
    { defaultText: 'none' },
  ),
  loraFa: option(
    group,
    boolean().default(false),
    'Keep A at its first values, with no gradient and no moments, and project the gradient of B (LoRA-FA).',
  ),
}
