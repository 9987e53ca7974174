/** @file Lowerings of leaves and of ops that only order or stop things. */
import { input, type Lower } from '../lowering.ts'

export const constant: Lower<'constant'> = ({ e, node }) =>
  e.constant(node.params.dtype, node.params.shape, node.params.values)

export const detach: Lower<'detach'> = (call) => input(call, 0)

/** Nodes run in the graph's order (see model.ts), which already puts recomputed work behind what it waits for. */
export const barrier: Lower<'barrier'> = (call) => input(call, 0)
