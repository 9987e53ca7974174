/** @file Whether the rows of a run ever activate an adapter that waits for tokens (aLoRA). Must not know engines. */
import type { Dataset } from '../../data/dataset.ts'
import { lastInvocation } from '../../peft/activation.ts'
import { LowrankError } from '../../support/errors.ts'
import { count } from '../../support/human.ts'

const FIELD = 'alora_invocation_tokens'

/**
 * A line for a person where some rows lack the tokens.
 * @throws LowrankError `data` where all do: nothing would be trained
 */
export function invocationNotes(invocation: readonly number[] | undefined, rows: Dataset): string[] {
  if (!invocation) return []
  let activated = 0
  for (const { ids } of rows) if (lastInvocation(ids, invocation) !== undefined) activated++
  const tokens = invocation.join(', ')
  if (activated === 0)
    throw new LowrankError('data', `${FIELD}: no row holds the tokens ${tokens}, so nothing would be trained`, {
      field: FIELD,
      suggestion: 'the tokens must stand in every row as the tokenizer makes them',
    })
  if (activated === rows.length) return []
  return [`${FIELD}: ${count(activated)} of ${count(rows.length)} rows hold ${tokens}; the others train nothing`]
}
