/** Runs the engine conformance suite as vitest cases, with the gaps an engine declares. */
import { afterAll, describe, expect, it } from 'vitest'
import { checkEngineCase, drawCase, type Tolerance } from '../../src/engine/case.ts'
import { engineCases } from '../../src/engine/cases.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { prepare } from '../../src/engine/prepare.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import type { OpName } from '../../src/graph/vocabulary.ts'
import { F32_ENGINE } from '../tolerances.ts'

export interface CaseOptions {
  /** Case name → why this engine does not do it. A name that no case has fails. */
  readonly skip?: Readonly<Record<string, string>>
  readonly tolerance?: Tolerance
  /** For an engine with few ops: whether it takes a case whose prepared graph has just these. @default all cases */
  readonly only?: (ops: readonly OpName[]) => boolean
}

export function runEngineCases(engine: Engine, { skip = {}, tolerance = F32_ENGINE, only }: CaseOptions = {}): void {
  const oracle = referenceEngine()
  describe(`${engine.name} engine: conformance`, () => {
    it('declares gaps by names that exist', () => {
      const names = new Set(engineCases.map((c) => c.name))
      expect(Object.keys(skip).filter((name) => !names.has(name))).toEqual([])
    })
    for (const test of engineCases) {
      if (only && !only(prepare(drawCase(test).graph, engine.composites).nodes.map((n) => n.op))) continue
      it.skipIf(test.name in skip)(test.name, async () => {
        expect(await checkEngineCase(engine, oracle, test, tolerance)).toEqual([])
      })
    }
    afterAll(() => engine.dispose())
  })
}
