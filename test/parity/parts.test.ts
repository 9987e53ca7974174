/**
 * @file Houlsby, Pfeiffer and parallel adapters, BitFit, LayerNorm tuning and the head alone, against AdapterHub's library
 * and torch (scripts/goldens/adapterhub.py), on both engines.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { NO_LABEL } from '../../src/data/example.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { onnxruntimeEngine } from '../../src/engines/onnxruntime/index.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { bottleneckConfig } from '../../src/peft/bottleneck.ts'
import { isBottleneck, layoutParts, type PartsMethod } from '../../src/peft/parts-layout.ts'
import { openModel } from '../../src/run/open-model.ts'
import { groupParameters } from '../../src/train/parameter-groups.ts'
import { type Case, fileKey, type Golden, required } from './case.ts'
import { checkEvaluation, checkGradients, checkLogits, checkTraining } from './checks.ts'

interface PartsGolden extends Golden {
  readonly method: PartsMethod
  readonly leave_out: number[]
}

const root = fileURLToPath(new URL('../goldens/adapterhub', import.meta.url))
const engines: Engine[] = [referenceEngine(), onnxruntimeEngine()]

afterAll(async () => {
  for (const engine of engines) await engine.dispose()
})

async function openParts(name: string): Promise<Case> {
  const folder = join(root, name)
  const { model, weights } = await openModel(join(folder, 'model'))
  const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as PartsGolden
  const tensors = await readSafetensors(join(folder, 'golden.safetensors'))
  const { method, leave_out: leaveOut } = golden
  const sizes = new Map(
    [...tensors].flatMap(([key, { shape }]): [number, number][] => {
      const [, layer] = /^start\..*\.(\d+)\..*adapter_down\.0\.weight$/.exec(key) ?? []
      return layer === undefined ? [] : [[Number(layer), shape[0] ?? 0]]
    }),
  )
  const [size = 1, ...others] = new Set(sizes.values())
  const settings = { size, deviation: 1e-2, leaveOut }
  const own = isBottleneck(method) ? bottleneckConfig(method, settings) : undefined
  const bottleneck = own && (others.length > 0 ? { ...own, sizes } : own)
  const layout = layoutParts(model, method, bottleneck)
  const start = new Map(layout.tensors.map(({ id }) => [id, required(tensors.get(`start.${fileKey(id)}`), id)]))
  const trained = { model, layout, groups: groupParameters(layout.tensors), dropout: 0, followsTies: true }
  const examples = readFileSync(join(folder, 'train.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line, place) => {
      const row = JSON.parse(line) as { input_ids: number[]; label: number }
      const ids = Int32Array.from(row.input_ids)
      const labels = ids.map((_, t) => (t > 0 ? NO_LABEL : row.label))
      return { ids, labels, place, source: `train.jsonl:${place + 1}` }
    })
  return { trained, weights, start, golden, tensors, examples }
}

describe.each(engines)('methods that sit in an encoder, on $name', (engine) => {
  it.each(readdirSync(root))('%s', async (name) => {
    const c = await openParts(name)
    expect(c.trained.groups.reduce((n, g) => n + g.size, 0)).toBe(c.golden.trainable)
    await checkLogits(engine, c)
    await checkEvaluation(engine, c)
    await checkGradients(engine, c)
    await checkTraining(engine, c)
  })
})
