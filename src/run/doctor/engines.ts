/** @file Looks at each engine: is it there, what has it kernels for, does it compute right. Must not know models. */
import { checkEngineCase } from '../../engine/case.ts'
import { engineCases } from '../../engine/cases.ts'
import type { Engine } from '../../engine/engine.ts'
import { referenceEngine } from '../../engines/reference/index.ts'
import type { EngineReport } from '../types.ts'

/** Conformance cases of the self-test: what a LoRA step is made of, a state that is kept, and random masks. */
export const selfTestCases: readonly string[] = [
  'rmsNorm',
  'rmsNormGrad',
  'rotary',
  'softmax',
  'lowRank with a fed scale',
  'dropoutMask known by hand',
  'scatterAdd with repeated ids',
  'momentum descent on a low-rank layer, three steps',
]

/** Differences that f32 arithmetic in another order makes. */
const tolerance = { relative: 1e-4, absolute: 1e-5 }

/** Reports on one engine. What goes wrong is part of the report, not an error. */
export async function describeEngine(
  name: string,
  open: () => Promise<Engine>,
  selfTest: boolean,
): Promise<EngineReport> {
  let engine: Engine
  try {
    engine = await open()
  } catch (error) {
    return { name, found: false, kernels: [], reason: messageOf(error) }
  }
  try {
    const report: EngineReport = { name, found: true, kernels: [...engine.composites].sort() }
    return selfTest ? { ...report, selfTest: await testEngine(engine) } : report
  } finally {
    await engine.dispose()
  }
}

async function testEngine(engine: Engine): Promise<NonNullable<EngineReport['selfTest']>> {
  const oracle = referenceEngine()
  const start = performance.now()
  const problems: string[] = []
  const cases = engineCases.filter((one) => selfTestCases.includes(one.name))
  for (const one of cases) {
    try {
      problems.push(
        ...(await checkEngineCase(engine, oracle, one, tolerance)).map((problem) => `${one.name}: ${problem}`),
      )
    } catch (error) {
      problems.push(`${one.name}: ${messageOf(error)}`)
    }
  }
  return { passed: problems.length === 0, cases: cases.length, seconds: (performance.now() - start) / 1000, problems }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
