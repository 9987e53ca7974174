/** @file Conformance cases of state that engines keep between runs. */
import { gradients } from '../autodiff/backward.ts'
import type { EngineCase } from './case.ts'

export const stateCases: readonly EngineCase[] = [
  {
    name: 'a state that counts over three runs',
    runs: [{ n: 2 }, { n: 3 }, { n: 1 }],
    state: { total: 'next' },
    build: ({ g, f32, state }) => {
      const total = state('total', [4])
      const next = g.add(total, g.sum(f32('x', ['n', 4]), { axes: [0] }))
      return { next, before: g.mul(total, 2) }
    },
  },
  {
    name: 'two states that swap, and one that stays as written',
    runs: [{}, {}, {}],
    state: { left: 'newLeft', right: 'newRight' },
    build: ({ g, state }) => {
      const [left, right, fixed] = [state('left', [3]), state('right', [3]), state('fixed', [3])]
      return { newLeft: g.mul(right, fixed), newRight: g.add(left, 0.5) }
    },
  },
  {
    name: 'momentum descent on a low-rank layer, three steps',
    runs: [{ n: 3 }, { n: 5 }, { n: 2 }],
    state: { A: 'newA', B: 'newB', mA: 'newMA', mB: 'newMB' },
    build: ({ g, f32, ids, weight, state }) => {
      const x = f32('x', ['n', 4])
      const [a, b] = [state('A', [2, 4]), state('B', [5, 2])]
      const logits = g.add(g.matmul(x, weight('w', [5, 4]), { transB: true }), g.lowRank(x, a, b, 0.5))
      const loss = g.sum(g.crossEntropy(logits, ids('labels', ['n'], 5)), { axes: [0] })
      const rate = f32('rate', [], () => 0.125)
      const [da = a, db = b] = gradients(g, loss, [a, b])
      const newMA = g.add(g.mul(state('mA', [2, 4]), 0.9), da)
      const newMB = g.add(g.mul(state('mB', [5, 2]), 0.9), db)
      return { loss, newMA, newMB, newA: g.sub(a, g.mul(rate, newMA)), newB: g.sub(b, g.mul(rate, newMB)) }
    },
  },
]
