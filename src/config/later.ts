/**
 * @file Names that the contract reserves and a later version will understand: refused by name, never as misspellings.
 * Must not hold anything that works already.
 */

export const laterVerbs: ReadonlySet<string> = new Set([...['serve', 'studio']])
