/** @file Moving elements without arithmetic. */
import { addDims, broadcastShapes, type Dim, sameShape, sizeOfShape } from '../tensor/dim.ts'
import { unbroadcast } from './broadcasting.ts'
import { at, type CoreDefinition, typeError } from './definition.ts'

export const reshape: CoreDefinition<'reshape'> = {
  inputs: ['x'],
  optional: {},
  type(inputs, { shape }) {
    const x = at(inputs, 0)
    if (sizeOfShape(x.shape) !== sizeOfShape(shape))
      throw typeError('reshape', `as many elements as [${shape}]`, inputs)
    return { dtype: x.dtype, shape }
  },
  vjp: { x: (g, { x }, dy) => g.reshape(dy, { shape: x.type.shape }) },
}

export const transpose: CoreDefinition<'transpose'> = {
  inputs: ['x'],
  optional: {},
  type(inputs, { perm }) {
    const x = at(inputs, 0)
    if (perm.length !== x.shape.length || [...perm].sort((a, b) => a - b).some((axis, i) => axis !== i)) {
      throw typeError(`transpose([${perm}])`, 'a permutation of all axes', inputs)
    }
    return { dtype: x.dtype, shape: perm.map((axis) => x.shape[axis] ?? 1) }
  },
  vjp: { x: (g, _, dy, { perm }) => g.transpose(dy, { perm: perm.map((_, axis) => perm.indexOf(axis)) }) },
}

export const expand: CoreDefinition<'expand'> = {
  inputs: ['x'],
  optional: {},
  type(inputs, { shape }) {
    const x = at(inputs, 0)
    const wide = broadcastShapes(x.shape, shape)
    if (!wide || !sameShape(wide, shape)) throw typeError(`expand([${shape}])`, 'a shape that broadcasts to it', inputs)
    return { dtype: x.dtype, shape }
  },
  vjp: { x: (g, { x }, dy) => unbroadcast(g, dy, x.type) },
}

export const slice: CoreDefinition<'slice'> = {
  inputs: ['x'],
  optional: {},
  type(inputs, { axis, start, size }) {
    const x = at(inputs, 0)
    const extent = x.shape[axis]
    if (typeof extent !== 'number' || start < 0 || size < 0 || start + size > extent) {
      throw typeError(`slice(axis ${axis}, ${start}…${start + size})`, 'a numeric extent that holds it', inputs)
    }
    return { dtype: x.dtype, shape: x.shape.map((d, i) => (i === axis ? size : d)) }
  },
  vjp: {
    x: (g, { x }, dy, { axis, start, size }) =>
      g.pad(dy, { axis, before: start, after: Number(x.type.shape[axis]) - start - size }),
  },
}

export const pad: CoreDefinition<'pad'> = {
  inputs: ['x'],
  optional: {},
  type(inputs, { axis, before, after }) {
    const x = at(inputs, 0)
    return { dtype: x.dtype, shape: x.shape.map((d, i) => (i === axis ? addDims(d, before, after) : d)) }
  },
  vjp: {
    x: (g, { x }, dy, { axis, before }) => g.slice(dy, { axis, start: before, size: Number(x.type.shape[axis]) }),
  },
}

export const concat: CoreDefinition<'concat'> = {
  inputs: 'many',
  optional: {},
  type(inputs, { axis }) {
    const first = at(inputs, 0)
    const others = (shape: readonly Dim[]): readonly Dim[] => shape.filter((_, i) => i !== axis)
    if (inputs.some((t) => t.dtype !== first.dtype || !sameShape(others(t.shape), others(first.shape)))) {
      throw typeError(`concat(axis ${axis})`, 'inputs alike but for that axis', inputs)
    }
    const total = addDims(...inputs.map((t) => t.shape[axis] ?? 0))
    return { dtype: first.dtype, shape: first.shape.map((d, i) => (i === axis ? total : d)) }
  },
  vjp: {},
  vjpMany(g, inputs, index, dy, { axis }) {
    const extents = inputs.map((n) => Number(n.type.shape[axis]))
    const start = extents.slice(0, index).reduce((a, b) => a + b, 0)
    return g.slice(dy, { axis, start, size: extents[index] ?? 0 })
  },
}
