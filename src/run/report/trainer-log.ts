/**
 * @file Reads `trainer_log.jsonl`: a line a logged step or evaluation. A torn last line (a kill while writing) is left out.
 * Must not know what is made of it. Keys: contract of the run folder.
 */
import { LowrankError } from '../../support/errors.ts'
import { pathKind, readBounded } from '../../support/files.ts'
import { isRecord } from '../../support/json.ts'

/** A million steps logged one by one stay below this. */
const MAX_BYTES = 512 * 1024 * 1024

export interface LoggedStep {
  /** From 1. */
  step: number
  totalSteps: number
  epoch: number
  loss: number
  learningRate: number
  gradNorm: number
  tokens: number
  tokensPerSecond: number
  elapsedSeconds: number
  peakMemoryBytes: number
}

export interface LoggedEval {
  step: number
  evalLoss: number
  evalTokens: number
  /** Of the task, by name: every other number of the line. */
  metrics: Record<string, number>
}

export interface TrainerLog {
  steps: LoggedStep[]
  evals: LoggedEval[]
  /** The result on rows that nothing was chosen by. */
  test?: { step: number; loss: number; metrics: Record<string, number> }
}

/** Reads the log of a run; a file that is not there is an empty log. @throws {LowrankError} naming file and line. */
export async function readTrainerLog(file: string): Promise<TrainerLog> {
  if ((await pathKind(file)) !== 'file') return { steps: [], evals: [] }
  return parseTrainerLog(new TextDecoder().decode(await readBounded(file, MAX_BYTES)), file)
}

export function parseTrainerLog(text: string, file: string): TrainerLog {
  const log: TrainerLog = { steps: [], evals: [] }
  const lines = text.split('\n')
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue
    const value = parseLine(line)
    // Only the last line can be torn; a broken one in between is a broken file.
    if (value === undefined && index === lines.length - 1) break
    if (value === undefined) {
      const place = `${file}:${index + 1}`
      throw new LowrankError('format', `${place} is not a JSON object`, { file: place })
    }
    addLine(log, value)
  }
  return log
}

function parseLine(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function addLine(log: TrainerLog, value: Record<string, unknown>): void {
  // A number that JSON cannot hold (NaN) was written as null; it stays visible as NaN.
  const number = (key: string): number => (typeof value[key] === 'number' ? value[key] : Number.NaN)
  if (value.eval_loss !== undefined) {
    const { step: _, eval_loss: __, eval_tokens: ___, ...others } = value
    log.evals.push({
      ...{ step: number('step'), evalLoss: number('eval_loss'), evalTokens: number('eval_tokens') },
      metrics: numbersOf(others),
    })
  }
  if (value.test_loss !== undefined) {
    const { step, test_loss: _, test_tokens: __, ...others } = value
    const named = Object.entries(others).map(([name, one]) => [name.replace(/^test_/, ''), one])
    log.test = { step: Number(step), loss: number('test_loss'), metrics: numbersOf(Object.fromEntries(named)) }
  }
  if (value.loss === undefined) return
  log.steps.push({
    step: number('step'),
    totalSteps: number('total_steps'),
    epoch: number('epoch'),
    loss: number('loss'),
    learningRate: number('learning_rate'),
    gradNorm: number('grad_norm'),
    tokens: number('tokens'),
    tokensPerSecond: number('tokens_per_second'),
    elapsedSeconds: number('elapsed_seconds'),
    peakMemoryBytes: number('peak_memory_bytes'),
  })
}

function numbersOf(values: Readonly<Record<string, unknown>>): Record<string, number> {
  const numbers: Record<string, number> = {}
  for (const [name, value] of Object.entries(values)) if (typeof value === 'number') numbers[name] = value
  return numbers
}
