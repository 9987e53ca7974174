/** @file The end of a run: the weights that count, written as their users expect them, with a report. */
import type { Engine } from '../../engine/engine.ts'
import { isLowrankError } from '../../support/errors.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { type Evaluated, figureOf } from '../../train/best.ts'
import { type Progress, readCheckpointState } from '../../train/checkpoint.ts'
import type { Evaluation } from '../../train/evaluation.ts'
import type { Told } from '../../train/measure.ts'
import type { Metrics } from '../../train/metrics.ts'
import { unpackGroup } from '../../train/parameter-groups.ts'
import type { TrainSession } from '../../train/session.ts'
import { writeReport } from '../report/write-report.ts'
import type { TrainEvent, TrainResult } from '../types.ts'
import { Evaluator } from './evaluator.ts'
import { type Run, trainableOf } from './events.ts'
import { evaluationBatches } from './material.ts'
import { threadsOf } from './open-session.ts'
import type { RunFolder } from './run-folder.ts'
import { sampleGenerations } from './samples.ts'
import { type StepReporter, stepLine } from './step-reporter.ts'
import type { Subject } from './subject.ts'

interface End {
  readonly progress: Progress
  readonly reporter: StepReporter
  readonly stopped: boolean
  /** What the weights of a step told of the rows held out; absent where none are. */
  readonly told?: ((step: number, values: ReadonlyMap<string, HostTensor>) => Promise<Told | undefined>) | undefined
}

/** Writes the result and the report, and says what came of the run. */
export async function* finish(
  folder: RunFolder,
  run: Run,
  { session, engine }: { session: TrainSession; engine: Engine },
  end: End,
): AsyncGenerator<TrainEvent, TrainResult> {
  const { subject, settings } = run
  const { progress, reporter, stopped } = end
  const best = settings.keepBest && progress.best && progress.best.step !== progress.step ? progress.best : undefined
  const values = best ? await bestValues(folder.path, best.step, subject) : await session.parameters()
  const evaluated = best ?? progress.evaluation
  const kept = best ?? progress
  const tested = stopped ? undefined : yield* measure(folder, run, { session, engine }, { step: kept.step, values })
  const result: TrainResult = {
    output: folder.path,
    steps: progress.step,
    loss: progress.window.labelled > 0 ? progress.window.loss / progress.window.labelled : progress.lastLoss,
    ...(evaluated ? { evalLoss: evaluated.loss, ...named('evalMetrics', evaluated.metrics) } : {}),
    ...(tested ? { testLoss: tested.loss, ...named('testMetrics', tested.metrics) } : {}),
    tokensPerSecond: progress.tokens / Math.max(progress.seconds, 1e-9),
    peakMemoryBytes: reporter.peakMemory(),
    trainable: trainableOf(subject),
    seconds: progress.seconds,
    ...(stopped ? { stopped } : {}),
  }
  await subject.write(folder.path, values, factsOf(result))
  const held = stopped ? undefined : await end.told?.(kept.step, values)
  const sets = [
    { name: 'Evaluation rows', told: held },
    { name: 'Test rows', told: tested?.told },
  ]
  const told = sets.flatMap(({ name, told: one }) => (one ? [{ name, told: one }] : []))
  await writeReport(folder.path, { parameters: subject.parameters, data: run.material.report, told })
  // Last: what has a result is finished, and a run that is resumed then changes nothing.
  if (!stopped) await folder.writeResult(result)
  if (!stopped) yield* reportSamples(folder.path, run, engine)
  if (best)
    yield {
      type: 'notice',
      message: `the result has the weights of step ${best.step}, whose ${chosenBy(best)}`,
    }
  yield { type: 'done', result }
  return result
}

/** The result on the rows that are kept for its measure, if there are any. */
async function* measure(
  folder: RunFolder,
  { settings, subject, material }: Run,
  { session, engine }: { session: TrainSession; engine: Engine },
  { step, values }: { step: number; values: ReadonlyMap<string, HostTensor> },
): AsyncGenerator<TrainEvent, Evaluation | undefined> {
  if (!material.test) return undefined
  const batches = evaluationBatches(settings, material, material.test)
  const evaluator = new Evaluator(session, engine, subject.weights, batches, threadsOf(settings))
  try {
    const tested = await evaluator.run(values)
    const { loss: testLoss, tokens: testTokens, metrics } = tested
    const event: TrainEvent = { type: 'test', step, testLoss, testTokens, metrics }
    const line = stepLine(event)
    if (line) await folder.log(line)
    yield event
    return tested
  } finally {
    await evaluator.dispose()
  }
}

/** Nothing where there is nothing to say. */
function named<K extends string>(name: K, metrics: Metrics): Partial<Record<K, Metrics>> {
  return Object.keys(metrics).length > 0 ? ({ [name]: metrics } as Partial<Record<K, Metrics>>) : {}
}

function chosenBy({ metrics }: Evaluated): string {
  const figure = figureOf(metrics)
  return figure === 'loss'
    ? 'evaluation loss was the lowest'
    : `${figure} was the highest of all evaluations (${metrics[figure]?.toFixed(4)})`
}

/** Adds samples to a report that stands already: a run is not lost for want of them. */
async function* reportSamples(output: string, run: Run, engine: Engine): AsyncGenerator<TrainEvent, void> {
  const { settings, subject, material, signal } = run
  const { tokenizer } = material
  if (settings.samples === 0 || !tokenizer || material.head.task !== 'causal-lm') return
  try {
    const samples = await sampleGenerations({
      output,
      ...(settings.method === 'full' ? {} : { base: subject.folder }),
      dataset: material.held ?? material.train,
      tokenizer,
      engine,
      ...threadsOf(settings),
      count: settings.samples,
      parameters: subject.parameters,
      signal,
    })
    await writeReport(output, { parameters: subject.parameters, data: material.report, samples })
  } catch (error) {
    if (!isLowrankError(error)) throw error
    yield { type: 'notice', message: `the report has no samples: ${error.message}` }
  }
}

/** The weights of the best evaluated step, which `--keep-best` kept a checkpoint of. */
async function bestValues(output: string, step: number, subject: Subject): Promise<ReadonlyMap<string, HostTensor>> {
  const state = await readCheckpointState({ path: `${output}/checkpoint-${step}` })
  const values = new Map<string, HostTensor>()
  for (const group of subject.trained.groups) {
    const flat = state[group.name]
    if (flat) for (const [id, value] of unpackGroup(group, flat)) values.set(id, value)
  }
  return values
}

function factsOf(result: TrainResult): [string, string][] {
  return [
    ['Steps', String(result.steps)],
    ['Training loss', result.loss.toFixed(4)],
    ...(result.evalLoss === undefined ? [] : ([['Evaluation loss', result.evalLoss.toFixed(4)]] as [string, string][])),
    ...(result.testLoss === undefined ? [] : ([['Test loss', result.testLoss.toFixed(4)]] as [string, string][])),
  ]
}
