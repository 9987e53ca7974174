/**
 * @file `eval`: token-weighted loss and perplexity of a model, with or without adapters, on rows. Must not know a terminal.
 */
import { adapterSpecs } from '../config/options/model.ts'
import { resolveOptions } from '../config/resolve.ts'
import type { EvalOptions, EvalSettings } from '../config/verbs/index.ts'
import type { Batch } from '../data/batch.ts'
import { Batches } from '../data/batches.ts'
import { type LoadedDataset, loadDataset, rowWarnings } from '../data/load-dataset.ts'
import { maskingOf } from '../data/masking.ts'
import type { Engine, Executable, WeightRef } from '../engine/engine.ts'
import type { HeadSpec } from '../formats/task.ts'
import { graphOf } from '../graph/graph.ts'
import type { Graph } from '../graph/types.ts'
import { compileFrozen } from '../infer/compile-frozen.ts'
import {
  type AdapterUse,
  adapterWeights,
  attachLoaded,
  findAdapters,
  type LoadedAdapter,
} from '../infer/loaded-adapter.ts'
import type { Model } from '../models/model.ts'
import { newBuilder } from '../ops/index.ts'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import type { HostTensor } from '../tensor/host-tensor.ts'
import { labelLosses } from '../train/evaluation.ts'
import { batchFeeds, batchLosses } from '../train/loss-graph.ts'
import { Measure, type Told } from '../train/measure.ts'
import type { Metrics } from '../train/metrics.ts'
import { objectiveOf } from '../train/objectives.ts'
import { evaluationFiles } from './evaluation-files.ts'
import { headFacts } from './head-facts.ts'
import { type OpenForUse, openEngineFor, openForUse } from './open-for-use.ts'
import { renderEvaluation } from './report/eval-page.ts'
import { rowColumnNames } from './row-columns.ts'
import { tokenizerDoubts } from './tokenizer-doubts.ts'
import type { EvalResult, NoticeEvent, ProgressEvent } from './types.ts'

/** Masked tokens are the same in every evaluation. */
const MASK_SEED = 42

export interface Watched {
  /** Ends the work; what is open is disposed. */
  signal?: AbortSignal | undefined
  /** Told of what is found and how far the work is. */
  onProgress?: ((event: NoticeEvent | ProgressEvent) => void) | undefined
}

/**
 * Loss over every label of the rows; `perplexity` is its exponential. With `perExample`, `losses[i]` is the mean loss of
 * the labels of row i of the data (0 where the row has none, or was skipped).
 * @throws LowrankError naming file, line and field; `numeric` naming the row; `stopped`
 */
export async function evaluate(options: EvalOptions & Watched): Promise<EvalResult> {
  const settings = resolveOptions('eval', options)
  const { signal, onProgress: onEvent } = options
  const open = await openForUse(settings, { signal, onEvent })
  checkHead(open)
  const { dataset, report } = await loadRows(settings, open, signal)
  const notes = [...tokenizerDoubts(open.tokenizer, open.base.model, report.format), ...rowWarnings(report)]
  for (const message of notes) onEvent?.({ type: 'notice', message })
  const { engine, threads } = await openEngineFor(settings)
  try {
    const executable = await compileEvaluation(engine, open, { threads, signal })
    try {
      const { spec } = open.base.model
      const batches = new Batches(dataset, {
        ...{ batchSize: settings.batchSize, order: 'length' },
        labelsAt: objectiveOf(open.base.model).labelsAt,
        masking:
          spec.task === 'masked-lm'
            ? maskingOf(open.tokenizer, open.base.model.config.vocabSize, MASK_SEED)
            : undefined,
      })
      const rows = report.rows + report.unlabelled + report.skipped
      const layouts = findAdapters(open.adapters, open.uses).map(({ layout }) => layout)
      const losses = labelLosses(executable, eachBatch(batches), { model: open.base.model, layouts, signal })
      const found = await measure(losses, spec, batches.stepsPerEpoch, settings.perExample ? rows : undefined, onEvent)
      if (settings.report !== undefined) await writeReport(settings.report, settings, open, found)
      return found.result
    } finally {
      await executable.dispose()
    }
  } finally {
    await engine.dispose()
  }
}

/** @throws LowrankError `missing` for a head whose weights neither the base nor an adapter has, `usage` for no head at all */
export function checkHead({ base, adapters }: Pick<OpenForUse, 'base' | 'adapters'>): void {
  objectiveOf(base.model)
  const brought = new Set(adapters.flatMap(({ layout }) => layout.tensors.map(({ module }) => module)))
  const missing = base.fresh.filter(({ path }) => !brought.has(path)).map(({ path }) => path)
  if (missing.length === 0) return
  throw new LowrankError(
    'missing',
    `${base.folder} has no weights for ${missing.join(', ')}: the head is not trained yet`,
    {
      file: base.folder,
      field: missing[0],
      suggestion: 'train it first, or name the adapter that has it',
    },
  )
}

/** Losses of each label with adapters on the base, everything frozen. */
export function buildLosses(model: Model, adapters: readonly LoadedAdapter[], uses: readonly AdapterUse[]): Graph {
  const g = newBuilder()
  const attached = findAdapters(adapters, uses).map((adapter, i) =>
    attachLoaded(g, adapter, { scale: uses[i]?.weight ?? 1 }),
  )
  return graphOf(Object.entries(batchLosses(g, model, attached, batchFeeds(g, false))))
}

async function compileEvaluation(
  engine: Engine,
  { base, adapters, uses }: Pick<OpenForUse, 'base' | 'adapters' | 'uses'>,
  { threads, signal }: { threads: number | undefined; signal: AbortSignal | undefined },
): Promise<Executable> {
  return await compileFrozen(engine, buildLosses(base.model, adapters, uses), {
    weights: new Map<string, WeightRef | HostTensor>([...base.weights, ...adapterWeights(adapters)]),
    ...(threads === undefined ? {} : { threads }),
    ...(signal === undefined ? {} : { signal }),
  })
}

async function loadRows(
  settings: EvalSettings,
  { base, tokenizer }: OpenForUse,
  signal: AbortSignal | undefined,
): Promise<LoadedDataset> {
  const { vocabSize, maxPositions } = base.model.config
  const { maxLength, trainOn, skipBadRows } = settings
  const columns = rowColumnNames(settings.columns)
  const sources = await evaluationFiles(settings.data)
  return await loadDataset({
    sources,
    tokenizer,
    vocabSize,
    maxLength,
    modelMaxLength: maxPositions,
    trainOn,
    skipBadRows,
    columns,
    tokenTypes: base.model.tokenTypes,
    head: { ...headFacts(base, settings.task, base.model.spec), stands: true },
    signal,
  })
}

async function measure(
  found: ReturnType<typeof labelLosses>,
  head: HeadSpec,
  steps: number,
  rows: number | undefined,
  onProgress: Watched['onProgress'],
): Promise<Found> {
  const perRow = rows === undefined ? undefined : new RowMeans(rows)
  const told = new Measure(head)
  let [sum, tokens, examples, step] = [0, 0, 0, 0]
  for await (const { batch, losses, logits } of found) {
    for (const loss of losses) sum += loss
    tokens += losses.length
    examples += batch.examples
    perRow?.add(batch, losses)
    if (logits) told.add(batch, logits)
    onProgress?.({ type: 'progress', label: 'eval', done: ++step, total: steps, unit: 'steps' })
  }
  const loss = sum / tokens
  const counts = told.confusion()
  const metrics = told.metrics()
  const result: EvalResult = {
    ...{ loss, perplexity: Math.exp(loss), tokens, examples },
    ...metrics,
    ...(counts ? { confusion: { labels: head.labels, counts } } : {}),
    ...(perRow ? { losses: perRow.means() } : {}),
  }
  return { result, metrics, told: told.told() }
}

interface Found {
  readonly result: EvalResult
  readonly metrics: Metrics
  readonly told: Told | undefined
}

async function writeReport(
  file: string,
  { model, adapter = [], data }: EvalSettings,
  { base }: Pick<OpenForUse, 'base'>,
  { result, metrics, told }: Found,
): Promise<void> {
  const adapters = adapterSpecs(adapter).map(({ path }) => path)
  const page = renderEvaluation({ ...result, model: model ?? base.folder, adapters, data, metrics, told })
  await writeFileAtomic(file, page)
}

function* eachBatch(batches: Batches): Generator<Batch> {
  for (const step of batches.epoch()) yield* step.batches
}

/** Mean loss of each row, by the place of its tokens in the data. */
class RowMeans {
  readonly #sums: Float64Array
  readonly #counts: Uint32Array

  constructor(rows: number) {
    this.#sums = new Float64Array(rows)
    this.#counts = new Uint32Array(rows)
  }

  add({ labelRows, places }: Batch, losses: Float32Array): void {
    for (const [i, loss] of losses.entries()) {
      const place = places.data[Number(labelRows.data[i])] ?? 0
      this.#sums[place] = (this.#sums[place] ?? 0) + loss
      this.#counts[place] = (this.#counts[place] ?? 0) + 1
    }
  }

  means(): number[] {
    return Array.from(this.#sums, (sum, row) => sum / Math.max(this.#counts[row] ?? 0, 1))
  }
}
