/**
 * @file What a model is for: the tasks there are, and how a config.json names one (`architectures`, `problem_type`,
 * `id2label`). Must not know graphs, rows or training. Source: transformers' `Auto*` classes and `PreTrainedConfig`.
 */
import { LowrankError } from '../support/errors.ts'
import { isRecord } from '../support/json.ts'
import type { HfConfig } from './hf-config.ts'

/** Tasks that a model can be trained for. */
export const TASKS = ['causal-lm', 'masked-lm', 'classification', 'regression', 'token-classification'] as const
export type TrainedTask = (typeof TASKS)[number]
/** `embedding`: hidden states and nothing above them. */
export type Task = TrainedTask | 'embedding'

/** What stands above the last hidden state. */
export interface HeadSpec {
  readonly task: Task
  /** Name of each output of a classifier, by index; one for regression, none for a language model. */
  readonly labels: readonly string[]
}

/** Largest number of labels a config may ask for. */
const MAX_LABELS = 2 ** 20

/** The head that a config means. @throws LowrankError `unsupported` for several labels a row, `config` for broken ones */
export function headOfConfig(raw: HfConfig): HeadSpec {
  const [architecture = ''] = raw.strings('architectures', { default: undefined }) ?? []
  if (architecture.endsWith('ForSequenceClassification')) {
    const labels = labelsOfConfig(raw)
    const problem = raw.string('problem_type', { default: undefined })
    if (problem === 'multi_label_classification')
      throw new LowrankError('unsupported', `${raw.file}: problem_type is ${problem}, several labels a row`, {
        file: raw.file,
        field: 'problem_type',
      })
    const task = problem === 'regression' || (problem === undefined && labels.length === 1)
    return { task: task ? 'regression' : 'classification', labels }
  }
  if (architecture.endsWith('ForTokenClassification'))
    return { task: 'token-classification', labels: labelsOfConfig(raw) }
  // BertForPreTraining is a masked language model with a second head beside.
  if (/ForMaskedLM$|^BertForPreTraining$/.test(architecture)) return { task: 'masked-lm', labels: [] }
  return { task: 'embedding', labels: [] }
}

/** Names of a classifier's outputs: `id2label`, `label2id`, or LABEL_0 … of `num_labels` (2 where the config says nothing). */
export function labelsOfConfig(raw: HfConfig): string[] {
  const byId = raw.value('id2label')
  const entries: [number, string][] = isRecord(byId)
    ? Object.entries(byId).map(([id, label]) => [Number(id), String(label)])
    : Object.entries(recordOf(raw.value('label2id'))).map(([label, id]) => [Number(id), label])
  if (entries.length > 0) return inOrder(entries, raw)
  const count = raw.int('num_labels', { min: 1, max: MAX_LABELS, default: 2 })
  return Array.from({ length: count }, (_, id) => genericLabel(id))
}

function inOrder(entries: readonly [number, string][], raw: HfConfig): string[] {
  const labels: string[] = []
  for (const [id, label] of entries) if (id >= 0 && id < entries.length) labels[id] = label
  if (labels.length === entries.length && !labels.includes(undefined as never)) return labels
  throw raw.fault('id2label', `must name ids 0 to ${entries.length - 1}, each once`)
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return isRecord(value) ? value : {}
}

/** The name transformers gives a label that has none. */
export function genericLabel(id: number): string {
  return `LABEL_${id}`
}

/** Whether all labels are named by transformers, so that they mean nothing. */
export function areGeneric(labels: readonly string[]): boolean {
  return labels.every((label, id) => label === genericLabel(id))
}

/** PEFT's word for a task; it has none for masked language models. */
export function peftTaskType(task: Task): 'CAUSAL_LM' | 'SEQ_CLS' | 'TOKEN_CLS' | 'FEATURE_EXTRACTION' | null {
  if (task === 'causal-lm') return 'CAUSAL_LM'
  if (task === 'classification' || task === 'regression') return 'SEQ_CLS'
  if (task === 'token-classification') return 'TOKEN_CLS'
  return task === 'embedding' ? 'FEATURE_EXTRACTION' : null
}

/** Fields of config.json that say what a head is, for a model whose class begins with `classPrefix`. */
export function headConfig(classPrefix: string, { task, labels }: HeadSpec): Readonly<Record<string, unknown>> {
  const named = {
    id2label: Object.fromEntries(labels.map((label, id) => [String(id), label])),
    label2id: Object.fromEntries(labels.map((label, id) => [label, id])),
  }
  if (task === 'masked-lm') return { architectures: [`${classPrefix}ForMaskedLM`] }
  if (task === 'token-classification') return { architectures: [`${classPrefix}ForTokenClassification`], ...named }
  if (task === 'classification' || task === 'regression')
    return {
      architectures: [`${classPrefix}ForSequenceClassification`],
      ...named,
      problem_type: task === 'regression' ? 'regression' : 'single_label_classification',
    }
  return {}
}
