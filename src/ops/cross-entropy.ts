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
  optional: { softcap: 0 },
  type(inputs) {
    const [hidden, weight, labels] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)]
    if (hidden.shape[1] !== weight.shape[1] || hidden.shape[0] !== labels.shape[0]) {
      throw typeError('linearCrossEntropy', 'hidden [n, d], weight [vocab, d], labels [n]', inputs)
    }
    return { dtype: 'f32', shape: labels.shape }
  },
  expand(g, { hidden, weight, labels }, { softcap }) {
    const raw = g.matmul(hidden, weight, { transB: true })
    return g.crossEntropy(softcap === 0 ? raw : g.mul(g.tanh(g.mul(raw, 1 / softcap)), softcap), labels)
  },
  // A trained head differentiates through the expansion; a frozen one never needs a gradient of the logits' size twice.
  vjp: {
    hidden: (g, { hidden, weight, labels }, dy, params) => g.linearCrossEntropyGrad(hidden, weight, labels, dy, params),
    labels: null,
  },
}

export const linearCrossEntropyGrad: CompositeDefinition<'linearCrossEntropyGrad'> = {
  inputs: ['hidden', 'weight', 'labels', 'dy'],
  optional: { softcap: 0 },
  type: (inputs) => at(inputs, 0),
  // d hidden = dy · (softmax(logits)·W − W[label]): the one-hot matrix is never built. A cap multiplies each logit's share
  // by its derivative, 1 − tanh².
  expand(g, { hidden, weight, labels, dy }, { softcap }) {
    const raw = g.matmul(hidden, weight, { transB: true })
    const target = g.gather(weight, labels)
    if (softcap === 0) return g.mul(g.sub(g.matmul(g.softmax(raw), weight), target), column(g, dy))
    const slope = (t: Node): Node => g.sub(1, g.mul(t, t))
    const t = g.tanh(g.mul(raw, 1 / softcap))
    const p = g.mul(g.softmax(g.mul(t, softcap)), slope(t))
    const own = column(g, g.takeLast(slope(t), labels))
    return g.mul(g.sub(g.matmul(p, weight), g.mul(target, own)), column(g, dy))
  },
}
