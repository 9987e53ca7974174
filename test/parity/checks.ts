/** @file What a golden case asks of an engine: logits, loss, gradients and twenty optimizer steps, all as torch has them. */
import { expect } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'
import { type OptimizerName, optimizers } from '../../src/train/optimizers.ts'
import { unpackGroup } from '../../src/train/parameter-groups.ts'
import { scheduleFactor } from '../../src/train/schedules.ts'
import { buildEvaluation, buildGradients, buildLogits, buildStep } from '../../src/train/step-graph.ts'
import { TORCH } from '../tolerances.ts'
import {
  batchOf,
  type Case,
  compile,
  feedsOf,
  fileKey,
  logitError,
  logitFeeds,
  required,
  scalar,
  writeAdapter,
} from './case.ts'

export async function checkLogits(engine: Engine, c: Case): Promise<void> {
  const executable = await compile(engine, c, buildLogits(c.trained))
  await writeAdapter(executable, c.trained.groups, c.start)
  const { logits } = await executable.run(logitFeeds(c.golden, c.trained.model, c.trained.layout))
  expect(
    logitError(c.golden, required(c.tensors.get('logits_adapter'), 'logits'), required(logits, 'logits')),
  ).toBeLessThan(TORCH.logits)
  await executable.dispose()
}

export async function checkEvaluation(engine: Engine, c: Case): Promise<void> {
  const executable = await compile(engine, c, buildEvaluation(c.trained))
  await writeAdapter(executable, c.trained.groups, c.start)
  const { losses } = await executable.run(feedsOf(c, batchOf(c, c.examples)))
  const values = Array.from(required(losses, 'losses').data, Number)
  expect(values.length).toBe(c.golden.eval_tokens)
  expect(Math.abs(values.reduce((a, b) => a + b, 0) / values.length - c.golden.eval_loss_adapter)).toBeLessThan(
    TORCH.loss,
  )
  await executable.dispose()
}

/** Distance of two tensors over the length of the first. */
function distance(expected: HostTensor, actual: HostTensor, origin?: HostTensor): number {
  let [off, length] = [0, 0]
  for (let i = 0; i < expected.data.length; i++) {
    off += (Number(expected.data[i]) - Number(actual.data[i])) ** 2
    length += (Number(expected.data[i]) - Number(origin?.data[i] ?? 0)) ** 2
  }
  return Math.sqrt(off / Math.max(length, 1e-24))
}

export async function checkGradients(engine: Engine, c: Case): Promise<void> {
  const executable = await compile(engine, c, buildGradients(c.trained))
  await writeAdapter(executable, c.trained.groups, c.start)
  const batch = batchOf(c, c.examples.slice(0, 2))
  const found = await executable.run(feedsOf(c, batch, { lossWeight: scalar(1 / batch.labels.data.length) }))
  for (const { id } of c.trained.groups.flatMap((g) => g.tensors)) {
    const golden = [...c.tensors].find(([k]) => k.startsWith('grad.') && sameTensor(k.slice(5), fileKey(id)))
    const [key, expected] = required(golden, `gradient of ${id}`)
    if (c.golden.no_gradient.includes(fileKey(id))) continue
    expect(distance(expected, required(found[`grad.${id}`], id)), key).toBeLessThan(TORCH.gradient)
  }
  await executable.dispose()
}

/** torch names parameters, PEFT's files name keys: magnitudes and token rows differ in a suffix. */
function sameTensor(parameter: string, key: string): boolean {
  const plain = (s: string): string =>
    s
      .replace(/\.weight$/, '')
      .replace('token_adapter.trainable_tokens_delta.default', 'token_adapter.trainable_tokens_delta')
  return plain(parameter) === plain(key)
}

export async function checkTraining(engine: Engine, c: Case, optimizer: OptimizerName = 'adamw'): Promise<void> {
  const options = { optimizer, weightDecay: 0.01, maxGradNorm: 1, accumulates: false, dropout: false } as const
  const { graph, state } = buildStep(c.trained, options)
  const executable = await compile(engine, c, graph, state)
  await writeAdapter(executable, c.trained.groups, c.start)
  const moments = c.trained.groups.flatMap((g) =>
    ['m', 'v'].map((m) => [
      `${g.name}.${m}`,
      { dtype: 'f32', shape: [g.size], data: new Float32Array(g.size) } as HostTensor,
    ]),
  )
  await executable.writeState(Object.fromEntries(moments))
  for (let step = 0; step < 20; step++) {
    const batch = batchOf(c, c.examples.slice(2 * step, 2 * step + 2))
    const labelled = batch.labels.data.length
    const scalars = Object.entries(optimizers[optimizer].scalars(step + 1)).map(([k, v]) => [k, scalar(v)])
    const rate = scalar(1e-3 * scheduleFactor('linear', step, 0, 20))
    const out = await executable.run(
      feedsOf(c, batch, { ...Object.fromEntries(scalars), rate, lossWeight: scalar(1 / labelled) }),
    )
    const loss = Array.from(required(out.losses, 'losses').data, Number).reduce((a, b) => a + b, 0) / labelled
    expect(Math.abs(loss - required(c.golden.losses[step], 'loss')), `loss of step ${step + 1}`).toBeLessThan(
      TORCH.loss,
    )
    const norm = required(c.golden.grad_norms[step], 'norm')
    expect(Math.abs(Number(out.gradNorm?.data[0]) / norm - 1), `norm of step ${step + 1}`).toBeLessThan(TORCH.gradient)
  }
  const final = await executable.readState()
  for (const group of c.trained.groups) {
    for (const [id, value] of unpackGroup(group, required(final[group.name], group.name))) {
      if (c.golden.no_gradient.includes(fileKey(id))) continue
      const expected = required(c.tensors.get(`trained.${fileKey(id)}`), id)
      expect(distance(expected, value, c.start.get(id)), id).toBeLessThan(TORCH.update)
    }
  }
  await executable.dispose()
}
