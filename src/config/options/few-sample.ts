/**
 * @file Options that steady fine-tuning on few rows, after "Revisiting Few-sample BERT Fine-tuning" (arXiv 2006.05987).
 * Must not know the maths behind them.
 */
import { z } from 'zod'
import { boolean, choice, integer, listOf, number, option } from '../option.ts'

const group = 'Few-sample fine-tuning'
const kinds = ['bias', 'norm', 'head', 'embedding'] as const

export const fewSampleOptions = {
  recipe: option(
    group,
    choice(['few-sample']).optional(),
    'Sets what has been found to work and says what it set; an option that is given wins. `few-sample`: full fine-tuning ' +
      'as arXiv 2006.05987 advises it.',
  ),
  reinitLayers: option(group, integer(0).default(0), 'Top layers drawn anew before training (`--method full`).', {
    unit: 'layers',
  }),
  reinitPooler: option(
    group,
    boolean().default(false),
    'Draw anew what stands between the last layer and the one that tells labels apart.',
  ),
  mixout: option(
    group,
    number({ min: 0, below: 1 }).default(0),
    'Probability with which a number of a linear layer is its first value in a step, in place of all dropout (`--method full`).',
  ),
  mixoutMask: option(
    group,
    choice(['element', 'column']).default('element'),
    'What mixout draws for: each number, with the exact gradient; or each column of the input, with the gradient of the ' +
      'paper’s code.',
  ),
  layerDecay: option(
    group,
    number({ above: 0, max: 1 }).default(1),
    'Factor on the learning rate from each layer to the one below; heads and poolers have the full rate.',
  ),
  priorDecay: option(
    group,
    number({ min: 0 }).default(0),
    'Decoupled decay of trained tensors toward their first values, beside weight decay toward zero.',
  ),
  noDecay: option(
    group,
    listOf(z.enum(kinds), 'KINDS', `any of ${kinds.join(', ')}`, kinds).optional(),
    'Kinds of tensors that neither decay touches: `bias`, `norm`, `head` (all above the last layer), `embedding`.',
    { defaultText: 'none' },
  ),
}
