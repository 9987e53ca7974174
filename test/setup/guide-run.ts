/** Trains what a guide added, in the copy of the source that followed it: a tiny model, an adapter, the reference engine. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Batch } from '../../src/data/batch.ts'
import type { Model } from '../../src/models/causal-lm.ts'
import type { AdapterLayout, LayoutOptions } from '../../src/peft/layout.ts'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'

export interface GuideRun {
  readonly model: Model
  readonly layout: AdapterLayout
  readonly weights: ReadonlyMap<string, HostTensor>
  /** Loss of each step; the first is the untrained model's. */
  readonly losses: readonly number[]
  /** Trained tensors by id. */
  readonly trained: ReadonlyMap<string, HostTensor>
}

/** Modules of the copy under `root`. It has types of its own, equal to ours but where the guide changed them. */
export async function modulesOf(root: string) {
  const load = async <T>(path: string): Promise<T> => (await import(pathToFileURL(join(root, path)).href)) as T
  return {
    config: await load<typeof import('../../src/formats/hf-config.ts')>('src/formats/hf-config.ts'),
    registry: await load<typeof import('../../src/models/registry.ts')>('src/models/registry.ts'),
    initial: await load<typeof import('../../src/models/initial-weights.ts')>('src/models/initial-weights.ts'),
    layout: await load<typeof import('../../src/peft/layout.ts')>('src/peft/layout.ts'),
    init: await load<typeof import('../../src/peft/init.ts')>('src/peft/init.ts'),
    merge: await load<typeof import('../../src/peft/merge-model.ts')>('src/peft/merge-model.ts'),
    groups: await load<typeof import('../../src/train/parameter-groups.ts')>('src/train/parameter-groups.ts'),
    session: await load<typeof import('../../src/train/session.ts')>('src/train/session.ts'),
    step: await load<typeof import('../../src/train/step-graph.ts')>('src/train/step-graph.ts'),
    collate: await load<typeof import('../../src/data/collate.ts')>('src/data/collate.ts'),
    prepare: await load<typeof import('../../src/engine/prepare.ts')>('src/engine/prepare.ts'),
    engine: await load<typeof import('../../src/engines/reference/index.ts')>('src/engines/reference/index.ts'),
  }
}

export type GuideModules = Awaited<ReturnType<typeof modulesOf>>

/** Two rows of seven tokens, every one with its label. */
export function guideBatch({ collate }: GuideModules): Batch {
  const rows = [
    [1, 5, 2, 9, 4, 4, 7],
    [3, 8, 8, 2, 6, 1, 5],
  ]
  return collate.collate(
    rows.map((ids, place) => [{ ids: Int32Array.from(ids), labels: Int32Array.from(ids), place, source: 'guide' }]),
  )
}

/** Trains an adapter of `options` on a random model of `config` for some steps of AdamW. */
export async function trainGuide(
  m: GuideModules,
  config: object,
  options: LayoutOptions,
  steps: number,
): Promise<GuideRun> {
  const model = m.registry.modelOf(m.config.parseHfConfig(config, 'config.json'))
  const weights = m.initial.initialWeights(model, 1)
  const layout = m.layout.layoutAdapter(model.modules, options, { modelType: model.modelType })
  const start = await m.init.initAdapter(layout, { seed: 1, init: true }, (name) => {
    const found = weights.get(name)
    if (!found) throw new Error(`the model has no ${name}`)
    return found
  })
  const groups = m.groups.groupParameters(layout.tensors)
  const session = await m.session.TrainSession.create(
    { model, layout, groups, dropout: 0, followsTies: false },
    {
      engine: m.engine.referenceEngine(),
      weights,
      optimizer: 'adamw',
      weightDecay: 0,
      maxGradNorm: 1,
      accumulates: false,
      dropout: false,
      dropoutSeed: 1,
      recompute: false,
    },
  )
  await session.start(start)
  const losses: number[] = []
  const batch = guideBatch(m)
  for (let step = 0; step < steps; step++) losses.push((await session.step([batch], step, 0.05)).loss)
  const trained = await session.parameters()
  await session.dispose()
  return { model, layout, weights, losses, trained }
}
