/** @file The page of `eval --report`: figures of a model on rows, and what it told of them. Must not read files. */
import { count, significant } from '../../support/human.ts'
import { version } from '../../support/version.ts'
import type { Metrics } from '../../train/metrics.ts'
import { html } from './html.ts'
import { factList, renderShell } from './shell.ts'
import { type ToldRows, toldSections } from './told-section.ts'

export interface EvalPage {
  readonly model: string
  readonly adapters: readonly string[]
  readonly data: readonly string[]
  readonly loss: number
  readonly perplexity: number
  readonly tokens: number
  readonly examples: number
  readonly metrics: Metrics
  readonly told: ToldRows['told'] | undefined
}

/** Figures by name, as they are read. */
const NAMES: Readonly<Record<string, string>> = {
  accuracy: 'Accuracy',
  macroF1: 'Macro F1',
  matthews: 'Matthews',
  pearson: 'Pearson',
  spearman: 'Spearman',
  precision: 'Entity precision',
  recall: 'Entity recall',
  f1: 'Entity F1',
}

/** The whole page as text. */
export function renderEvaluation({ model, adapters, data, metrics, told, ...numbers }: EvalPage): string {
  const { loss, perplexity, tokens, examples } = numbers
  const facts = [
    ...Object.entries(metrics).map(([name, value]) => [NAMES[name] ?? name, value.toFixed(4), ''] as const),
    ['Loss', loss.toFixed(4), told ? '' : `perplexity ${significant(perplexity)}`] as const,
    ['Rows', count(examples), `${count(tokens)} labels`] as const,
  ]
  return renderShell({
    title: `${model}: evaluation`,
    heading: data.join(', '),
    below: [model, ...adapters.map((path) => `with ${path}`)].join(' '),
    body: html`${factList(facts)}
${toldSections(told ? [{ name: 'Rows', told }] : [])}`,
    footer: `Made by lowrank ${version}.`,
  })
}
