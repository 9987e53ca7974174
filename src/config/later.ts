/**
 * @file Names that the contract reserves and a later version will understand: refused by name, never as misspellings.
 * Must not hold anything that works already.
 */

/** Options of `train` (and of verbs to come), in camelCase. */
export const laterOptions: ReadonlySet<string> = new Set([
  ...['reinitLayers', 'reinitPooler', 'mixout', 'mixoutMask'],
  ...['layerDecay', 'priorDecay', 'noDecay', 'frozenDropout', 'recipe', 'task'],
])

export const laterVerbs: ReadonlySet<string> = new Set([...['classify', 'embed', 'study', 'serve', 'studio']])
