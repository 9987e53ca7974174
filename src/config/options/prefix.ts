/** @file Options of the frozen layers below everything trained. Must not know how their values are kept. */
import { option, switchOf } from '../option.ts'

export const prefixOptions = {
  frozenDropout: option(
    'Optimizer',
    switchOf(['on', 'off']).default('on'),
    'Dropout of the base’s config below everything trained; off: what the frozen layers make of a row is the same in ' +
      'every step, and is computed once.',
  ),
  prefixCache: option(
    'Machine',
    switchOf(['auto', 'off']).default('auto'),
    'Keep what frozen layers make of each row where it is the same in every step: in memory up to a quarter of what is ' +
      'free, then on disk up to half of what is free; off: compute it in every step.',
  ),
}
