/**
 * @file Recipes: option values that have been found to work together, used where nobody gave one. Must not know what an
 * option does.
 */

type Values = Readonly<Record<string, unknown>>

/**
 * Advice of "Revisiting Few-sample BERT Fine-tuning" (arXiv 2006.05987): Adam with its bias corrected, pooler and top
 * layers drawn anew, more steps than three epochs of few rows are (400, as in the paper's debiased_adam_longer.sh), ten
 * evaluations of which the best is kept. Of the layers, one: the paper finds the best number by search, 1 to 6 of 24.
 */
const FEW_SAMPLE = {
  ...{ method: 'full', reinitPooler: true, reinitLayers: 1 },
  ...{ optimizer: 'adamw', learningRate: 2e-5, schedule: 'linear', warmup: 0.1, steps: 400, batchSize: 32 },
  ...{ weightDecay: 0, noDecay: ['bias', 'norm'], evalEvery: 0.1, keepBest: true },
}

/** What each recipe sets beside the options that somebody gave. */
const RECIPES: Readonly<Record<string, (given: Values) => Values>> = {
  'few-sample': (given) => {
    const values: Record<string, unknown> = { ...FEW_SAMPLE }
    if (given.epochs !== undefined) delete values.steps
    // An adapter brings its method.
    if (given.adapter !== undefined) for (const name of ['method', 'reinitPooler', 'reinitLayers']) delete values[name]
    return values
  },
}

/** Values of the recipe that `given` names, without those that are given. */
export function recipeValues(given: Values): Values {
  const all = RECIPES[String(given.recipe)]?.(given) ?? {}
  return Object.fromEntries(Object.entries(all).filter(([name]) => given[name] === undefined))
}
