/** @file Options of the machine: engine, threads, arithmetic, memory. Must not know what an engine is. */
import { boolean, choice, integerOrAuto, option, switchOf } from '../option.ts'

const group = 'Machine'

export const engineOptions = {
  engine: option(
    group,
    choice(['auto', 'onnxruntime', 'reference'], ['native', 'cuda', 'webgpu']).default('auto'),
    'What computes: onnxruntime is fast, reference is slow and exact (f64).',
  ),
  threads: option(group, integerOrAuto(1, 256).default('auto'), 'Threads of the engine; auto: one a physical core.'),
}

export const dtypeOption = option(
  group,
  choice(['auto', 'f32', 'bf16', 'f16']).default('auto'),
  'Arithmetic, where the engine can; auto: f32.',
)

export const printGraphOption = option(
  group,
  boolean().default(false),
  'Show the graph of a step as it is given to the engine, before training.',
)

export const recomputeOption = option(
  group,
  switchOf(['on', 'off', 'auto']).default('auto'),
  'Recompute activations in the backward pass to save memory; auto: where the run would not fit in 80 % of free memory.',
)
