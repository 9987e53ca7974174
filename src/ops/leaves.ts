/** @file Inputs and constants, and the ops that only steer gradients and order. */
import type { CoreDefinition } from './definition.ts'
import { likeFirst } from './definition.ts'

export const input: CoreDefinition<'input'> = {
  inputs: [],
  optional: {},
  type: (_, { type }) => type,
  vjp: {},
}

export const constant: CoreDefinition<'constant'> = {
  inputs: [],
  optional: {},
  type: (_, { dtype, shape }) => ({ dtype, shape }),
  vjp: {},
}

export const detach: CoreDefinition<'detach'> = { inputs: ['x'], optional: {}, type: likeFirst, vjp: { x: null } }

export const barrier: CoreDefinition<'barrier'> = {
  inputs: ['x', 'after'],
  optional: {},
  type: likeFirst,
  vjp: { x: (_, __, dy) => dy, after: null },
}
