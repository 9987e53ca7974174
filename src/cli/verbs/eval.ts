/** @file `lowrank eval` at a terminal. Must not know how loss is measured. */
import type { EvalOptions } from '../../config/verbs/index.ts'
import { evaluate } from '../../run/evaluate.ts'
import { count, significant } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { followProgress } from '../progress.ts'

const METRICS = ['accuracy', 'macroF1', 'matthews', 'pearson', 'spearman', 'precision', 'recall', 'f1'] as const

export async function evalFace(options: EvalOptions, face: Face): Promise<undefined> {
  const progress = followProgress(face.terminal)
  const onProgress = face.json ? face.emit : progress.show
  const result = await evaluate({ ...options, signal: face.signal, onProgress })
  progress.end()
  if (face.json) return void face.emit(result)
  const { strong, faint } = face.terminal.out
  const over = `${count(result.tokens)} labelled tokens in ${count(result.examples)} rows`
  // Of squared errors and of labels an exponential says nothing.
  const isText = METRICS.every((name) => result[name] === undefined)
  const perplexity = isText ? `perplexity ${strong(significant(result.perplexity, 4))}  ` : ''
  face.terminal.write(`loss ${strong(result.loss.toFixed(4))}  ${perplexity}${faint(over)}\n`)
  const found = METRICS.flatMap((name) =>
    result[name] === undefined ? [] : [`${name} ${strong(result[name].toFixed(4))}`],
  )
  if (found.length > 0) face.terminal.write(`${found.join('  ')}\n`)
  if (options.report !== undefined) face.terminal.say(face.terminal.err.faint(options.report))
  for (const [row, loss] of (result.losses ?? []).entries()) face.terminal.write(`${row}\t${loss.toFixed(6)}\n`)
}
