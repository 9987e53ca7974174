/**
 * @file What the labels of all rows mean: classes in which order, or numbers to come close to; by the model's own names
 * where it knows them. Must not know files, tokenizers or how labels are trained.
 */
import { areGeneric, type HeadSpec, type Task, type TrainedTask } from '../formats/task.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import type { LabelValue, SeenLabel } from './label-table.ts'

/** What is known of the head before the rows are read. */
export interface HeadFacts extends HeadSpec {
  /** The model's file holds it, so that its size is settled. */
  readonly stands: boolean
  /** Labels were mapped before (in training): none can be added. */
  readonly settled: boolean
  /** What a person asked for. */
  readonly asked?: TrainedTask | undefined
}

export interface LabelPlan {
  readonly head: HeadSpec
  /** For each number of the table: the class. */
  readonly labels?: readonly number[]
  /** Or the number to come close to. */
  readonly targets?: readonly number[]
}

const NUMBER = /^[-+]?\d+(\.\d+)?([eE][-+]?\d+)?$/
const isNumeric = (value: LabelValue): boolean => typeof value === 'number' || NUMBER.test(value)

/**
 * @param kind whether each row has a label, or each token
 * @throws LowrankError `data` naming the row: labels of both kinds, one that is not known, a single one; `config` where the
 * head is of another size
 */
export function planLabels(seen: readonly SeenLabel[], kind: 'row' | 'token', head: HeadFacts): LabelPlan {
  const task = kind === 'token' ? tokenTask(seen, head) : rowTask(seen, head)
  if (task === 'regression') return planNumbers(seen, head)
  const wrongKind = head.stands && head.labels.length > 0 && head.task !== task
  if (wrongKind) throw otherHead(head, task, seen)
  if ((head.stands || head.settled) && head.asked !== task) refuseNamesAndIndices(seen, head)
  const names = classNames(seen, head)
  const index = new Map(names.map((name, i) => [name, i]))
  const labels = seen.map((label) => {
    const found = index.get(String(label.value)) ?? asIndex(label.value, head)
    if (found === undefined) throw unknownLabel(label, names)
    return found
  })
  return { head: { task, labels: names }, labels }
}

function rowTask(
  seen: readonly SeenLabel[],
  { asked, task, stands, settled }: HeadFacts,
): 'classification' | 'regression' {
  if (asked === 'classification' || asked === 'regression') return asked
  if ((stands || settled) && (task === 'regression' || task === 'classification')) return task
  refuseMixture(seen, 'classification')
  return seen.some(({ value }) => isNumeric(value) && !Number.isInteger(Number(value)))
    ? 'regression'
    : 'classification'
}

function tokenTask(seen: readonly SeenLabel[], { asked, stands, settled }: HeadFacts): 'token-classification' {
  const task = 'token-classification'
  if (asked !== task && !stands && !settled) refuseMixture(seen, task)
  return task
}

/** A column that is sometimes a number and sometimes a word is a mistake more often than it is meant. */
function refuseMixture(seen: readonly SeenLabel[], task: TrainedTask): void {
  const [first] = seen
  const other = first && seen.find(({ value }) => isNumeric(value) !== isNumeric(first.value))
  if (!other) return
  const [is, were] = isNumeric(other.value) ? ['a number', 'words'] : ['a word', 'numbers']
  throw new LowrankError(
    'data',
    `${other.source}: label is ${JSON.stringify(other.value)}, ${is}, and those before it are ${were}`,
    { file: other.source, field: 'label', suggestion: `--task ${task} takes every label as a word` },
  )
}

/** Labels of a head that is there are its names or their indices; both in one column are a mistake. */
function refuseNamesAndIndices(seen: readonly SeenLabel[], { labels }: HeadFacts): void {
  const isName = ({ value }: SeenLabel): boolean => labels.includes(String(value))
  if (seen.some((label) => !isName(label) && isNumeric(label.value)) && seen.some(({ value }) => !isNumeric(value)))
    refuseMixture(seen, 'classification')
}

function planNumbers(seen: readonly SeenLabel[], head: HeadFacts): LabelPlan {
  if (head.stands && head.labels.length > 1) throw otherHead(head, 'regression', seen)
  const targets = seen.map(({ value, source }) => {
    if (isNumeric(value)) return Number(value)
    throw new LowrankError('data', `${source}: label is ${JSON.stringify(value)}; regression asks for numbers`, {
      file: source,
      field: 'label',
    })
  })
  if (!head.settled && new Set(targets).size === 1) throw oneClass(seen)
  return { head: { task: 'regression', labels: head.labels.length === 1 ? head.labels : ['LABEL_0'] }, targets }
}

/** The classes in order. */
function classNames(seen: readonly SeenLabel[], head: HeadFacts): readonly string[] {
  if (head.settled) return head.labels
  if (seen.length === 1) throw oneClass(seen)
  const known = new Set(head.labels)
  const generic = areGeneric(head.labels)
  if (!generic && seen.every(({ value }) => known.has(String(value)))) return head.labels
  if (!head.stands) return sorted(seen)
  if (seen.every(({ value }) => asIndex(value, head) !== undefined)) return head.labels
  const stranger = seen.find(({ value }) => !known.has(String(value)) && asIndex(value, head) === undefined)
  if (generic && seen.length === head.labels.length && !seen.some(({ value }) => isNumeric(value))) return sorted(seen)
  if (!generic && stranger && seen.some(({ value }) => known.has(String(value))))
    throw unknownLabel(stranger, head.labels)
  if (seen.some(({ value }) => isNumeric(value) && !Number.isInteger(Number(value))))
    throw otherHead(head, 'regression', seen)
  throw otherSize(seen, head)
}

/** An integer in 0 … labels − 1 of a head that is there is the class itself. */
function asIndex(value: LabelValue, { stands, settled, labels }: HeadFacts): number | undefined {
  const index = isNumeric(value) ? Number(value) : Number.NaN
  // Labels that are numbers themselves are meant by name.
  const isMeant = (stands || settled) && !labels.every(isNumeric)
  const isIndex = isMeant && Number.isInteger(index) && index >= 0 && index < labels.length
  return isIndex ? index : undefined
}

/** Numbers by value, words by their characters. */
function sorted(seen: readonly SeenLabel[]): string[] {
  const numeric = seen.every(({ value }) => isNumeric(value))
  const names = [...new Set(seen.map(({ value }) => String(value)))]
  return names.sort((a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : Number(a > b)))
}

const SHOWN = 8
const listed = (labels: readonly LabelValue[]): string =>
  labels.slice(0, SHOWN).join(', ') + (labels.length > SHOWN ? ` and ${labels.length - SHOWN} more` : '')

function unknownLabel({ value, source }: SeenLabel, names: readonly string[]): LowrankError {
  return new LowrankError(
    'data',
    `${source}: label ${JSON.stringify(value)} is none that the model tells apart (${listed(names)})`,
    { file: source, field: 'label', suggestion: nearest(String(value), names)[0] },
  )
}

function oneClass([label]: readonly SeenLabel[]): LowrankError {
  const message = `every row has the label ${JSON.stringify(label?.value)}: there is nothing to tell apart`
  return new LowrankError('data', message, { file: label?.source, field: 'label' })
}

const ANEW = '--new-head leaves it and draws one for these rows'

function otherSize(seen: readonly SeenLabel[], { labels }: HeadSpec): LowrankError {
  const values = seen.map(({ value }) => value)
  const message = `the model's head tells ${labels.length} labels apart (${listed(labels)}), the rows have ${values.length}: ${listed(values)}`
  return new LowrankError('config', message, { file: seen[0]?.source, field: 'label', suggestion: ANEW })
}

function otherHead({ task, labels }: HeadSpec, asked: Task, seen: readonly SeenLabel[]): LowrankError {
  const message = `the model's head is for ${task} with ${labels.length} outputs, and the rows are for ${asked}`
  return new LowrankError('config', message, { file: seen[0]?.source, field: 'task', suggestion: ANEW })
}
