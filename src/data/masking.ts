/**
 * @file Masked tokens of a row, as BERT's pre-training draws them (arXiv 1810.04805, appendix A.1): 15 % of the tokens, at
 * least one, are to be told; of them 80 % are masked, 10 % replaced at random, 10 % left. A pure function of seed, epoch
 * and the row's place. Must not know batches.
 */
import { LowrankError } from '../support/errors.ts'
import { hashKey } from '../support/random.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { type Example, NO_LABEL } from './example.ts'

export interface Masking {
  readonly seed: number
  readonly maskId: number
  /** Tokens that a random one is drawn from. */
  readonly vocabSize: number
}

/** How a model's tokens are masked. @throws LowrankError `data` for a tokenizer without a token for it */
export function maskingOf(tokenizer: Tokenizer | undefined, vocabSize: number, seed: number): Masking {
  const token = tokenizer?.specialTokens.mask_token
  const maskId = token === undefined ? undefined : tokenizer?.idOf(token)
  if (tokenizer && maskId !== undefined) return { seed, maskId, vocabSize: Math.min(vocabSize, tokenizer.vocabSize) }
  const file = tokenizer?.file ?? 'the tokenizer'
  throw new LowrankError('data', `${file} has no mask token, which a masked language model is trained with`, {
    file: tokenizer?.file,
    field: 'mask_token',
  })
}

const SHARE = 0.15
const MASKED = 0.8
const REPLACED = 0.9
/** What a draw is for: two draws of one token must not be one number. */
const PURPOSE = { choice: 1, fate: 2, token: 3 } as const

export function masked(example: Example, { seed, maskId, vocabSize }: Masking, epoch: number): Example {
  const draw = (purpose: number, t: number): number =>
    hashKey(seed, Math.floor(seed / 2 ** 32), epoch, example.place, t, purpose) / 2 ** 32
  const candidates = [...example.labels.keys()].filter((t) => example.labels[t] !== NO_LABEL)
  const count = Math.max(1, Math.round(candidates.length * SHARE))
  const order = new Map(candidates.map((t) => [t, draw(PURPOSE.choice, t)]))
  const chosen = candidates.sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0)).slice(0, count)
  const ids = example.ids.slice()
  const labels = new Int32Array(ids.length).fill(NO_LABEL)
  for (const t of chosen) {
    labels[t] = example.labels[t] ?? NO_LABEL
    const fate = draw(PURPOSE.fate, t)
    if (fate < MASKED) ids[t] = maskId
    else if (fate < REPLACED) ids[t] = Math.floor(draw(PURPOSE.token, t) * vocabSize)
  }
  return { ...example, ids, labels }
}
