/**
 * @file What a run is made of, opened and checked in the order that finds mistakes early: the model's config, the rows and
 * what they train, then what is trained. Must not know folders of runs or engines.
 */
import { join } from 'node:path'
import { isLowrankError, LowrankError } from '../../support/errors.ts'
import { headFacts, headOfAdapter } from '../head-facts.ts'
import { type OpenModel, openConfig, openModel } from '../open-model.ts'
import { refuseRecipe } from './few-sample.ts'
import { loadMaterial, type Material } from './material.ts'
import type { TrainSettings } from './settings.ts'
import { openSubject, type Subject } from './subject.ts'

/** @throws LowrankError naming the option, file, row or module that does not fit */
export async function openRun(
  settings: TrainSettings,
  given: ReadonlySet<string>,
  folder: string,
  signal?: AbortSignal,
): Promise<{ subject: Subject; material: Material }> {
  const base = await openBase(settings, folder)
  refuseRecipe(settings, base.model)
  const trained = settings.adapter && !settings.newHead ? await headOfAdapter(settings.adapter) : undefined
  const facts = headFacts(base, settings.task, trained)
  // The head of a decoder is its own, so what is trained does not wait for the rows.
  if (base.model.spec.task === 'causal-lm') {
    const subject = await openSubject(settings, given, folder, base.model.spec)
    return { subject, material: await loadMaterial(settings, folder, base.model, facts, signal) }
  }
  const material = await loadMaterial(settings, folder, base.model, facts, signal)
  return { subject: await openSubject(settings, given, folder, material.head), material }
}

/** The model as its config means it; without a head that is to be a new one, and without a language model's that the files lack. */
async function openBase(
  { fromConfig, newHead }: TrainSettings,
  folder: string,
): Promise<Pick<OpenModel, 'model' | 'fresh'>> {
  if (fromConfig !== undefined) {
    const model = await openConfig(fromConfig)
    return { model, fresh: model.modules.filter(({ isAbove }) => isAbove) }
  }
  const { spec } = await openConfig(join(folder, 'config.json'))
  if (newHead && spec.task === 'causal-lm')
    throw new LowrankError('config', '--new-head: the head of a language model that writes is part of it', {
      ...{ field: 'new-head', suggestion: 'leave it out' },
    })
  if (newHead) return await openModel(folder, { task: 'embedding', labels: [] })
  try {
    return await openModel(folder)
  } catch (error) {
    if (!isLowrankError(error) || spec.task !== 'masked-lm') throw error
    return await openModel(folder, { task: 'embedding', labels: [] })
  }
}
