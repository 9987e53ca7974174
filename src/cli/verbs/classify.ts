/** @file `lowrank classify` at a terminal. Must not know how labels are found. */
import type { ClassifyOptions } from '../../config/verbs/index.ts'
import type { ClassifyResult } from '../../infer/answers.ts'
import { classifyRows } from '../../run/classify.ts'
import { significant } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import { fromStdin } from '../stdin.ts'
import { table } from '../table.ts'

/** Characters of a text in a table. */
const SHOWN = 60
/** Labels of a text in a table. */
const LABELS = 3

export async function classifyFace(options: ClassifyOptions, face: Face): Promise<undefined> {
  const { terminal } = face
  const progress = followProgress(terminal)
  const onProgress = face.json ? face.emit : progress.show
  const rows = await classifyRows({ ...options, ...(await fromStdin(options)), signal: face.signal, onProgress })
  progress.end()
  if (face.json) return void face.emit(rows.map(({ result }) => result))
  const [only] = rows
  const lines =
    only && rows.length === 1 ? oneRow(only.result) : rows.flatMap(({ shown, result }) => row(shown, result))
  const heading = rows.length === 1 ? ['label', 'probability'] : ['text', 'label', 'probability']
  const isNumber = only?.result.value !== undefined
  for (const line of table([isNumber ? ['text', 'value'] : heading, ...lines], terminal.out))
    terminal.write(`${line}\n`)
}

/** A line a label, or a word. */
function oneRow({ scores, value, words, entities }: ClassifyResult): string[][] {
  if (value !== undefined) return [['', significant(value, 5)]]
  if (entities && entities.length > 0)
    return entities.map(({ text, label, score }) => [`${label}: ${text}`, probability(score)])
  if (words) return words.map(({ word, label, score }) => [`${label}: ${word}`, probability(score)])
  return Object.entries(scores ?? {}).map(([label, score]) => [label, probability(score)])
}

function row(text: string, { label, score, scores, value, words, entities }: ClassifyResult): string[][] {
  const shown = text.length > SHOWN ? `${text.slice(0, SHOWN - 1)}…` : text
  if (value !== undefined) return [[shown, significant(value, 5)]]
  if (words) {
    const found = entities ?? words.map((one) => ({ ...one, text: one.word }))
    const told = found.map((one): [string, string] => [`${one.label}: ${one.text}`, probability(one.score)])
    const [first = ['', ''] as [string, string], ...rest] = told
    return [[shown, ...first], ...rest.map((one) => ['', ...one])]
  }
  const more = Object.entries(scores ?? {}).slice(1, LABELS)
  const others = more.map(([name, p]) => `${name} ${probability(p)}`).join(', ')
  return [[shown, label ?? '', probability(score ?? 0), ...(others ? [others] : [])]]
}

function probability(p: number): string {
  return p.toFixed(4)
}
