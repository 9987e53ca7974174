/** @file Lowerings of ops that work element by element. */
import { input, type Lower, standard } from '../lowering.ts'
import { ELEMENT_TYPE } from '../proto.ts'

export const neg: Lower<'neg'> = standard('Neg')
export const exp: Lower<'exp'> = standard('Exp')
export const log: Lower<'log'> = standard('Log')
export const sqrt: Lower<'sqrt'> = standard('Sqrt')
export const reciprocal: Lower<'reciprocal'> = standard('Reciprocal')
export const tanh: Lower<'tanh'> = standard('Tanh')
export const sigmoid: Lower<'sigmoid'> = standard('Sigmoid')
export const erf: Lower<'erf'> = standard('Erf')
export const sin: Lower<'sin'> = standard('Sin')
export const cos: Lower<'cos'> = standard('Cos')
export const add: Lower<'add'> = standard('Add')
export const sub: Lower<'sub'> = standard('Sub')
export const mul: Lower<'mul'> = standard('Mul')
export const div: Lower<'div'> = standard('Div')
export const maximum: Lower<'maximum'> = standard('Max')
export const minimum: Lower<'minimum'> = standard('Min')
export const equal: Lower<'equal'> = standard('Equal')
export const less: Lower<'less'> = standard('Less')
export const lessEqual: Lower<'lessEqual'> = standard('LessOrEqual')
export const and: Lower<'and'> = standard('And')
export const not: Lower<'not'> = standard('Not')
export const select: Lower<'select'> = standard('Where')

export const cast: Lower<'cast'> = (call) =>
  call.e.op('Cast', [input(call, 0)], { to: ELEMENT_TYPE[call.node.params.to] })
