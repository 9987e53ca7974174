/** @file Reading and adding rows by index, and the dropout mask that is a pure function of its keys. */
import { sameShape } from '../tensor/dim.ts'
import { at, type CoreDefinition, typeError } from './definition.ts'

export const gather: CoreDefinition<'gather'> = {
  inputs: ['table', 'ids'],
  optional: { distinct: false },
  type(inputs) {
    const [table, ids] = [at(inputs, 0), at(inputs, 1)]
    if (ids.dtype !== 'i64' || table.shape.length === 0) throw typeError('gather', 'a table and i64 ids', inputs)
    return { dtype: table.dtype, shape: [...ids.shape, ...table.shape.slice(1)] }
  },
  vjp: {
    table: (g, { table, ids }, dy, { distinct }) => g.scatterAdd(ids, dy, { rows: table.type.shape[0] ?? 1, distinct }),
    ids: null,
  },
}

export const scatterAdd: CoreDefinition<'scatterAdd'> = {
  inputs: ['ids', 'updates'],
  optional: { distinct: false },
  type(inputs, { rows }) {
    const [ids, updates] = [at(inputs, 0), at(inputs, 1)]
    const lead = updates.shape.slice(0, ids.shape.length)
    if (ids.dtype !== 'i64' || !sameShape(lead, ids.shape))
      throw typeError('scatterAdd', 'i64 ids and a row for each', inputs)
    return { dtype: updates.dtype, shape: [rows, ...updates.shape.slice(ids.shape.length)] }
  },
  vjp: { ids: null, updates: (g, { ids }, dy, { distinct }) => g.gather(dy, ids, { distinct }) },
}

export const takeLast: CoreDefinition<'takeLast'> = {
  inputs: ['x', 'ids'],
  optional: {},
  type(inputs) {
    const [x, ids] = [at(inputs, 0), at(inputs, 1)]
    if (ids.dtype !== 'i64' || !sameShape(x.shape.slice(0, -1), ids.shape))
      throw typeError('takeLast', 'an i64 id a row', inputs)
    return { dtype: x.dtype, shape: ids.shape }
  },
  vjp: {
    x(g, { x, ids }, dy) {
      const depth = Number(x.type.shape.at(-1))
      return g.mul(g.oneHot(ids, { depth }), g.reshape(dy, { shape: [...ids.type.shape, 1] }))
    },
    ids: null,
  },
}

export const oneHot: CoreDefinition<'oneHot'> = {
  inputs: ['ids'],
  optional: {},
  type: (inputs, { depth }) => ({ dtype: 'f32', shape: [...at(inputs, 0).shape, depth] }),
  vjp: { ids: null },
}

/**
 * `h = mix32(key ^ site)`, then for each axis of `before` and of `trailing` `h = mix32(h + (index + 1) · 0x9e3779b9)` in
 * u32 arithmetic (mix32 of support/random.ts); the element is dropped where the upper 31 bits of h are less than
 * ceil(rate · 2^31) (`dropLimit`), else it is 1/(1−rate). Every engine computes exactly this, so that masks follow from
 * the data and the seed alone. `before` only says where its axes stand: heads, say, before the positions that have the keys.
 */
export const dropoutMask: CoreDefinition<'dropoutMask'> = {
  inputs: ['keys'],
  optional: { before: [] },
  type(inputs, { before, trailing }) {
    const keys = at(inputs, 0)
    const n = keys.shape.at(-1)
    if (keys.dtype !== 'u32' || n === undefined) throw typeError('dropoutMask', 'u32 keys along an axis', inputs)
    return { dtype: 'f32', shape: [...keys.shape.slice(0, -1), ...before, n, ...trailing] }
  },
  vjp: { keys: null },
}
