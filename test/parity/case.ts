/** @file A conformance case made by transformers + PEFT + torch, opened with lowrank's own readers. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Batch } from '../../src/data/batch.ts'
import { collate } from '../../src/data/collate.ts'
import { type Example, NO_LABEL } from '../../src/data/example.ts'
import type { Engine, Executable, Tensors, WeightSource } from '../../src/engine/engine.ts'
import { prepare } from '../../src/engine/prepare.ts'
import { readPeftFolder } from '../../src/formats/peft-folder.ts'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import type { Graph } from '../../src/graph/types.ts'
import { forwardTensors } from '../../src/models/forward-tensors.ts'
import type { Model } from '../../src/models/model.ts'
import { activeTokens } from '../../src/peft/activation.ts'
import { fileKey, matchKeys } from '../../src/peft/keys.ts'
import { type AdapterLayout, layoutAdapter } from '../../src/peft/layout.ts'
import { openModel, withReplication } from '../../src/run/open-model.ts'
import type { HostTensor } from '../../src/tensor/host-tensor.ts'
import { f32, i64 } from '../../src/tensor/host-tensor.ts'
import { activeFeed, batchTensors } from '../../src/train/batch-tensors.ts'
import { objectiveOf } from '../../src/train/objectives.ts'
import { groupParameters, type ParameterGroup, packGroup } from '../../src/train/parameter-groups.ts'
import type { Trained } from '../../src/train/step-graph.ts'

export interface Golden {
  readonly input_ids: number[][]
  readonly attention_mask: number[][]
  readonly token_type_ids?: number[][]
  readonly eval_loss_adapter: number
  readonly eval_tokens: number
  readonly prompt_ids: number[]
  readonly greedy_ids: number[]
  readonly trainable: number
  readonly no_gradient: string[]
  /** Greedy continuations of several prompts. */
  readonly generations?: readonly { readonly prompt: number[]; readonly ids: number[] }[]
  readonly losses: number[]
  readonly grad_norms: number[]
}

export interface Case {
  readonly trained: Trained
  readonly weights: WeightSource
  /** Adapter tensors by id, as they start. */
  readonly start: ReadonlyMap<string, HostTensor>
  readonly golden: Golden
  readonly tensors: ReadonlyMap<string, HostTensor>
  readonly examples: readonly Example[]
}

interface CaseRow {
  readonly input_ids: number[]
  readonly labels?: number[]
  readonly label?: number
  readonly token_type_ids?: number[]
}

export async function openCase(folder: string): Promise<Case> {
  const adapter = await readPeftFolder(join(folder, 'adapter'))
  const base = await openModel(join(folder, 'model'))
  const { model, weights } = await withReplication(base, adapter.config.layer_replication)
  const layout = layoutAdapter(model.modules, adapter.config, { modelType: model.modelType, loaded: true })
  const found = [...adapter.tensors].map(([name, t]) => ({ name, shape: t.shape }))
  const { keys } = matchKeys(layout, model.modules, found, folder)
  const start = new Map([...keys].map(([id, key]) => [id, required(adapter.tensors.get(key), key)]))
  const groups = groupParameters(layout.tensors)
  const trained = { model, layout, groups, dropout: adapter.config.lora_dropout, followsTies: false }
  const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as Golden
  const tensors = await readSafetensors(join(folder, 'golden.safetensors'))
  const examples = readFileSync(join(folder, 'train.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line, place) => {
      const row = JSON.parse(line) as CaseRow
      const ids = Int32Array.from(row.input_ids)
      return {
        ids,
        // A text's label stands at its first token; a number to come close to is no label.
        labels: Int32Array.from(row.labels ?? ids.map((_, t) => (t > 0 ? NO_LABEL : Math.trunc(row.label ?? 0)))),
        ...(row.token_type_ids ? { types: Uint8Array.from(row.token_type_ids) } : {}),
        ...(model.spec.task === 'regression' ? { target: row.label ?? 0 } : {}),
        place,
        source: `train.jsonl:${place + 1}`,
      }
    })
  return { trained, weights, start, golden, tensors, examples }
}

export function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`the case has no ${name}`)
  return value
}

export async function compile(
  engine: Engine,
  c: Case,
  graph: Graph,
  state?: Readonly<Record<string, string>>,
): Promise<Executable> {
  const ready = prepare(graph, engine.composites)
  return await engine.compile(ready, { weights: c.weights, ...(state ? { state } : {}) })
}

/** Sets the adapter (or, with `zero`, one whose update is nothing) into an executable. */
export async function writeAdapter(
  executable: Executable,
  groups: readonly ParameterGroup[],
  values: ReadonlyMap<string, HostTensor>,
): Promise<void> {
  await executable.writeState(Object.fromEntries(groups.map((group) => [group.name, packGroup(group, values)])))
}

/** Feeds of a batch without dropout. */
export function feedsOf(
  { trained: { model, layout } }: Case,
  batch: Batch,
  more: Tensors = {},
): Record<string, HostTensor> {
  return { ...batchTensors(batch, model, [layout]), ...more }
}

export const batchOf = ({ trained }: Case, examples: readonly Example[]): Batch =>
  collate(
    examples.map((e) => [e]),
    { labelsAt: objectiveOf(trained.model).labelsAt },
  )

type Activated = Pick<AdapterLayout, 'invocation'>

/** Feeds that ask for the logits of every place of the golden batch, or of a whole text's first. */
export function logitFeeds(golden: Golden, model: Model, { invocation }: Activated = {}): Record<string, HostTensor> {
  const [rows, seq] = [golden.input_ids.length, golden.input_ids[0]?.length ?? 0]
  const mask = golden.attention_mask.flat()
  const ids = i64([rows, seq], golden.input_ids.flat())
  const segments = i64([rows, seq], mask)
  const positions = mask.map((m, i) => (m ? i % seq : 0))
  const types = golden.token_type_ids && i64([rows, seq], golden.token_type_ids.flat())
  const asked = mask.flatMap((_, i) => (ofWholeTexts(model) && i % seq > 0 ? [] : [i]))
  return {
    ...forwardTensors({ ids, segments, positions: i64([rows, seq], positions), types }, model),
    ...(invocation ? { [activeFeed(0)]: activeTokens(ids, segments, invocation) } : {}),
    labelRows: i64([asked.length], asked),
  }
}

function ofWholeTexts({ spec }: Model): boolean {
  return spec.task === 'classification' || spec.task === 'regression'
}

/** Largest difference where the mask says there is a token. */
export function logitError(golden: Golden, expected: HostTensor, actual: HostTensor): number {
  const width = expected.shape.at(-1) ?? 1
  let worst = 0
  const mask = golden.attention_mask.flat()
  Array.from({ length: expected.data.length / width }, (_, row) => row).forEach((row) => {
    if (expected.data.length / width === mask.length && !mask[row]) return // padding; a whole text has none
    for (let j = 0; j < width; j++)
      worst = Math.max(worst, Math.abs(Number(expected.data[row * width + j]) - Number(actual.data[row * width + j])))
  })
  return worst
}

export const scalar = (value: number): HostTensor => f32([], [value])
export { fileKey }
