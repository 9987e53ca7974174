/** @file Cross-entropy against integer labels, a loss for each row; weighting and averaging are the objective's. */
import type { Builder } from '../graph/builder.ts'
import type { Node } from '../graph/types.ts'
import { at, type CompositeDefinition, typeError } from './definition.ts'

const column = (g: Builder, x: Node): Node => g.reshape(x, { shape: [...x.type.shape, 1] })

export const crossEntropy: CompositeDefinition<'crossEntropy'> = {
  inputs: ['logits', 'labels'],
  optional: {},
  type(inputs) {
    const [logits, labels] = [at(inputs, 0), at(inputs, 1)]
    if (logits.shape.length !== 2 || labels.shape[0] !== logits.shape[0])
      throw typeError('crossEntropy', 'logits [n, vocab], labels [n]', inputs)
    return { dtype: 'f32', shape: labels.shape }
  },
  expand(g, { logits, labels }) {
    const top = g.reduceMax(g.detach(logits), { axes: [1], keepDims: true })
    // As softmax sums them, so that forward and backward share the sum.
    const total = g.sum(g.exp(g.sub(logits, top)), { axes: [1], keepDims: true })
    const logSum = g.reshape(g.add(g.log(total), top), { shape: labels.type.shape })
    return g.sub(logSum, g.takeLast(logits, labels))
  },
  vjp: { logits: (g, { logits, labels }, dy) => g.crossEntropyGrad(logits, labels, dy), labels: null },
}

export const crossEntropyGrad: CompositeDefinition<'crossEntropyGrad'> = {
  inputs: ['logits', 'labels', 'dy'],
  optional: {},
  type: (inputs) => at(inputs, 0),
  expand(g, { logits, labels, dy }) {
    const depth = Number(logits.type.shape[1])
    return g.mul(g.sub(g.softmax(logits), g.oneHot(labels, { depth })), column(g, dy))
  },
}

export const linearCrossEntropy: CompositeDefinition<'linearCrossEntropy'> = {
  inputs: ['hidden', 'weight', 'labels'],
  optional: {},
  type(inputs) {
    const [hidden, weight, labels] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    if (hidden.shape[1] !== weight.shape[1] || hidden.shape[0] !== labels.shape[0]) {
      throw typeError('linearCrossEntropy', 'hidden [n, d], weight [vocab, d], labels [n]', inputs)
    }
    return { dtype: 'f32', shape: labels.shape }
  },
  expand: (g, { hidden, weight, labels }) => g.crossEntropy(g.matmul(hidden, weight, { transB: true }), labels),
  // A trained head differentiates through the expansion; a frozen one never needs a gradient of the logits' size twice.
  vjp: {
    hidden: (g, { hidden, weight, labels }, dy) => g.linearCrossEntropyGrad(hidden, weight, labels, dy),
    labels: null,
  },
}

export const linearCrossEntropyGrad: CompositeDefinition<'linearCrossEntropyGrad'> = {
  inputs: ['hidden', 'weight', 'labels', 'dy'],
  optional: {},
  type: (inputs) => at(inputs, 0),
  // d hidden = dy · (softmax(logits)·W − W[label]): the one-hot matrix is never built.
  expand(g, { hidden, weight, labels, dy }) {
    const p = g.softmax(g.matmul(hidden, weight, { transB: true }))
    return g.mul(g.sub(g.matmul(p, weight), g.gather(weight, labels)), column(g, dy))
  },
}
