/** @file Options of the optimizer, its schedule, the run's length and what is logged and saved. Must not know the loop. */
import { boolean, choice, integer, number, option } from '../option.ts'

const optimizer = 'Optimizer'
const saving = 'Logging and saving'

export const optimizerOptions = {
  epochs: option(optimizer, number({ above: 0 }).default(3), 'Passes over the rows.'),
  steps: option(optimizer, integer(1).optional(), 'Optimizer steps, instead of epochs.', {
    defaultText: 'from epochs',
  }),
  optimizer: option(
    optimizer,
    choice(['adamw', 'bertadam', 'sgd']).default('adamw'),
    'AdamW as torch has it (β 0.9, 0.999, ε 1e-8), the same without bias correction (BERTAdam), or plain SGD.',
  ),
  learningRate: option(optimizer, number({ min: 0 }).default(2e-4), 'Highest learning rate.'),
  schedule: option(
    optimizer,
    choice(['constant', 'linear', 'cosine']).default('cosine'),
    'Course of the learning rate after warm-up: it stays, or falls to zero by a line or a half cosine.',
  ),
  warmup: option(
    optimizer,
    number({ min: 0 }).default(0.03),
    'Steps of rising rate, or a share of all steps when below 1.',
  ),
  weightDecay: option(optimizer, number({ min: 0 }).default(0), 'Decoupled weight decay of every trained tensor.'),
  maxGradNorm: option(optimizer, number({ min: 0 }).default(1), 'Gradients are scaled down to this norm; 0: never.'),
}

export const seedOption = option(
  'Randomness',
  integer(0).default(42),
  'Seed of order, dropout, new weights and sampling.',
)

export const seedOptions = {
  seed: seedOption,
  dataSeed: option('Randomness', integer(0).optional(), 'Seed of order and dropout.', { defaultText: 'the seed' }),
  initSeed: option('Randomness', integer(0).optional(), 'Seed of new weights.', { defaultText: 'the seed' }),
}

export const savingOptions = {
  logEvery: option(saving, integer(1).default(10), 'A line of trainer_log.jsonl every so many.', { unit: 'steps' }),
  evalEvery: option(
    saving,
    number({ min: 0 }).default(0),
    'Evaluate every so many steps, or every share of the run when below 1 (0.1: ten times); 0: each epoch.',
  ),
  saveEvery: option(
    saving,
    number({ min: 0 }).default(0),
    'Checkpoint every so many steps, or every share of the run when below 1; 0: each epoch.',
  ),
  keep: option(saving, integer(1).default(3), 'Newest checkpoints kept.'),
  keepBest: option(
    saving,
    boolean().default(false),
    'Leave the best evaluated weights as the result: by accuracy (F1 of entities, Spearman’s correlation), else by loss.',
  ),
  samples: option(saving, integer(0).default(3), 'Rows whose prompts the trained model answers in report.html.', {
    unit: 'rows',
  }),
  resume: option(saving, boolean().default(false), 'Continue the run in the output folder, bit for bit.'),
  overwrite: option(saving, boolean().default(false), 'Replace what the output folder holds.'),
}
