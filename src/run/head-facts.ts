/**
 * @file What is known of a model's head: from its config, its weights, the adapters on it and what a person asked for.
 * Must not know rows or graphs.
 */
import { join } from 'node:path'
import type { HeadFacts } from '../data/label-plan.ts'
import { readAdapterConfig } from '../formats/adapter-folder.ts'
import { type HubHead, readHubHead } from '../formats/adapterhub.ts'
import { readLabels } from '../formats/labels-file.ts'
import { readPeftFolder } from '../formats/peft-folder.ts'
import { genericLabel, type HeadSpec, type TrainedTask } from '../formats/task.ts'
import { type OpenModel, openConfig } from './open-model.ts'

/** `--task`: auto follows from the rows and the model's class. */
export type AskedTask = TrainedTask | 'auto'

/** @param trained the head of a run that goes on, or is used: its labels are settled */
export function headFacts(
  { model, fresh }: Pick<OpenModel, 'model' | 'fresh'>,
  task: AskedTask,
  trained?: HeadSpec,
): HeadFacts {
  const { spec } = model
  const stands = spec.task === 'causal-lm' || (spec.labels.length > 0 && fresh.length === 0)
  return { ...(trained ?? spec), stands, settled: trained !== undefined, asked: task === 'auto' ? undefined : task }
}

/**
 * The head that an adapter was trained with: as its run says, or as its tensors have it.
 * @param folder of the adapter
 */
export async function headOfAdapter(folder: string): Promise<HeadSpec | undefined> {
  const labels = await readLabels(folder)
  if (labels) return labels
  const adapter = await readAdapterConfig(folder)
  if (adapter.kind === 'adapterhub') return headOfHub(await readHubHead(folder))
  const task = adapter.kind === 'peft' ? TASK_TYPES.get(adapter.config.task_type ?? '') : undefined
  if (!task) return undefined
  const { tensors } = await readPeftFolder(folder)
  const found = [...tensors].find(([key]) => HEAD_KEY.test(key))?.[1]
  const count = found?.shape[0]
  if (count === undefined) return undefined
  return { task: count === 1 ? 'regression' : task, labels: Array.from({ length: count }, (_, id) => genericLabel(id)) }
}

/**
 * The head that a model is used with under an adapter: the one it was trained with; none, where it was made on the model
 * without one (`FEATURE_EXTRACTION`); undefined where the model's own stands.
 * @param base folder of the model; @param folder of the adapter
 */
export async function headForUse(base: string, folder: string): Promise<HeadSpec | undefined> {
  const head = await headOfAdapter(folder)
  if (head) return head
  const adapter = await readAdapterConfig(folder)
  if (adapter.kind !== 'peft' || adapter.config.task_type !== 'FEATURE_EXTRACTION') return undefined
  const { spec } = await openConfig(join(base, 'config.json'))
  return spec.task === 'causal-lm' ? undefined : { task: 'embedding', labels: [] }
}

/** By the class of the model that the adapter was made on. */
function headOfHub(head: HubHead | undefined): HeadSpec | undefined {
  if (!head || head.labels.length === 0) return undefined
  const { labels, model_class } = head
  if (model_class.endsWith('ForSequenceClassification'))
    return { task: labels.length === 1 ? 'regression' : 'classification', labels }
  return model_class.endsWith('ForTokenClassification') ? { task: 'token-classification', labels } : undefined
}

const TASK_TYPES: ReadonlyMap<string, TrainedTask> = new Map([
  ['SEQ_CLS', 'classification'],
  ['TOKEN_CLS', 'token-classification'],
])
/** The last layer of a saved classifier. */
const HEAD_KEY = /^base_model\.model\.(classifier|score)(\.out_proj)?\.weight$/
