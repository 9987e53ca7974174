/** @file What tests of classifiers in use share: tiny encoders and runs of a few steps, scores and how close they must be. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { ClassifyResult } from '../../src/run/classify.ts'
import { type TrainOptions, train } from '../../src/run/train.ts'
import { writeJson } from '../setup/tiny-model.ts'
import { tinyWordpieceFiles } from '../setup/tiny-wordpiece.ts'
import { TORCH } from '../tolerances.ts'

export const engines = ['reference', 'onnxruntime'] as const

/** A part of the golden of a model. */
export const golden = (name: string, part = ''): string =>
  fileURLToPath(new URL(`../goldens/models/${name}/${part}`, import.meta.url))

export const letters = 'abcdefghijklmnopqrstuvwxyz'
/** Rows of three classes that no model will tell apart by chance. */
export const some = Array.from({ length: 24 }, (_, i) => ({
  text: `${letters[i]} ${letters[(7 * i) % 26]} ${'good bad rome'.split(' ')[i % 3]} ${letters.slice(0, i % 9)}`,
  label: ['no', 'yes', 'well'][i % 3],
}))

/** Gives a model folder a tokenizer of 60 tokens. */
export function withTokenizer(model: string): string {
  const { tokenizerJson, tokenizerConfig } = tinyWordpieceFiles()
  writeJson(join(model, 'tokenizer.json'), tokenizerJson)
  writeJson(join(model, 'tokenizer_config.json'), tokenizerConfig)
  return model
}

/** A run of two steps where the options do not say otherwise; answers its folder. */
export async function run(options: TrainOptions): Promise<string> {
  const fit = { batchSize: 2, steps: 2, learningRate: 3e-2, samples: 0, engine: 'reference', ...options } as const
  for await (const event of train(fit)) if (event.type === 'done') return event.result.output
  throw new Error('the run gave no result')
}

/** Scores in the order of the labels' names. */
export const inOrder = ({ scores = {} }: ClassifyResult): number[] =>
  Object.keys(scores)
    .sort()
    .map((label) => scores[label] ?? Number.NaN)

export function expectClose(found: readonly number[], wanted: readonly number[]): void {
  expect(found.length).toBe(wanted.length)
  for (const [i, value] of found.entries())
    expect(Math.abs(value - (wanted[i] ?? Number.NaN))).toBeLessThan(TORCH.logits)
}

/** What two answers say must be the same. */
export function expectSame(found: ClassifyResult | undefined, wanted: ClassifyResult): void {
  expect(Object.keys(found ?? {})).toEqual(Object.keys(wanted))
  expect(found?.label).toBe(wanted.label)
  expectClose(inOrder(found ?? {}), inOrder(wanted))
  if (wanted.value !== undefined) expectClose([found?.value ?? Number.NaN], [wanted.value])
  expect(found?.words?.map(({ label }) => label)).toEqual(wanted.words?.map(({ label }) => label))
  expectClose(found?.words?.map(({ score }) => score) ?? [], wanted.words?.map(({ score }) => score) ?? [])
}
