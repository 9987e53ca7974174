/** @file Options of how the next token is chosen and when to stop. Must not know the model. */
import { boolean, integer, number, option, texts } from '../option.ts'

const group = 'Sampling'

/** `temperature` is the one default in which `generate` (repeatable) and `chat` (lively) differ. */
export function samplingOptions(temperature: number) {
  return {
    maxTokens: option(group, integer(1).default(256), 'New tokens at most.', { unit: 'tokens' }),
    temperature: option(
      group,
      number({ min: 0 }).default(temperature),
      '0 takes the likeliest token; 1 samples as trained.',
    ),
    topP: option(
      group,
      number({ above: 0, max: 1 }).default(1),
      'Sample from the likeliest tokens that together hold this probability.',
    ),
    topK: option(group, integer(0).default(0), 'Sample from this many likeliest tokens; 0: all.', { unit: 'tokens' }),
    minP: option(
      group,
      number({ min: 0, max: 1 }).default(0),
      'Leave out tokens below this share of the likeliest’s probability.',
    ),
    repetitionPenalty: option(
      group,
      number({ above: 0 }).default(1),
      'Above 1 makes tokens that were seen less likely.',
    ),
    seed: option(group, integer(0).default(42), 'Seed of sampling.'),
    stop: option(
      group,
      texts('TEXT', 'one or more texts').optional(),
      'End before one of these texts (`\\n` is a new line, `\\,` a comma).',
    ),
    ignoreEos: option(group, boolean().default(false), 'Go on after the end-of-text token.'),
  }
}
