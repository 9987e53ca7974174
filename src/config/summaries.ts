/** @file Verbs and what each is for, as plain data: the first help page needs nothing else, so it is quick. */

export const summaries = {
  quickstart: 'Offline, about a minute: train an adapter on the embedded base and see before and after.',
  train: 'Fine-tune a model; writes a run folder.',
  study: 'A grid of runs over settings and seeds: mean ± std, intervals, paired differences, study.html.',
  eval: 'Measure token-weighted loss and perplexity on rows.',
  generate: 'Continue a prompt.',
  chat: 'Talk with a model; streams, and works with piped input too.',
  classify: 'Tell the labels of texts, with probabilities.',
  embed: 'Turn texts into vectors.',
  merge: 'Fold an adapter into its base: a plain Hugging Face model folder.',
  combine: 'Bring several weighted adapters together into one.',
  extract: 'Take what fine-tuning changed in a model as a LoRA of the model before.',
  truncate: 'Cut an adapter to a smaller rank, as well as that rank allows.',
  diff: 'Compare two adapters, module by module.',
  factorize: 'W ≈ B·A for the matrices of a file: error and spectrum of every rank.',
  convert: 'Turn an adapter of another format into a PEFT folder, and back.',
  inspect: 'What a model, adapter, checkpoint, run folder, study or tensor file is, on one screen.',
  doctor: 'Machine, engines and what each can do, cache folders, and a tiny self-test of each engine.',
  bench: 'Speed and memory on this machine, against its limit and, where installed, PyTorch + PEFT.',
  schema: 'JSON Schema of the run file, for editors.',
} as const

export type VerbName = keyof typeof summaries

export function isVerbName(name: string): name is VerbName {
  return Object.hasOwn(summaries, name)
}
