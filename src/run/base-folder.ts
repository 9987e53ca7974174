/** @file From what a user names as a model to its folder: a folder, the embedded base, or a Hugging Face id. */
import { fileURLToPath } from 'node:url'
import { type ResolveOptions, resolveModel } from '../hub/resolve-model.ts'
import { pathKind } from '../support/files.ts'
import type { NoticeEvent, ProgressEvent } from './types.ts'

/** The model that ships with the package. */
export const EMBEDDED = 'lowrank-tiny'

export interface BaseOptions {
  readonly revision?: string | undefined
  readonly offline?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly onEvent?: ((event: NoticeEvent | ProgressEvent) => void) | undefined
}

/** @throws LowrankError `missing`, `network` and what else hub/ says, naming the model. */
export async function baseFolder(model: string, options: BaseOptions = {}): Promise<string> {
  if (model === EMBEDDED && (await pathKind(model)) !== 'folder')
    return fileURLToPath(new URL(`../../${EMBEDDED}`, import.meta.url))
  const { revision, offline, signal, onEvent } = options
  const resolve: ResolveOptions = {
    revision,
    signal,
    ...(offline ? { offline } : {}),
    ...(onEvent ? { onEvent: forward(onEvent) } : {}),
  }
  return (await resolveModel(model, resolve)).folder
}

function forward(onEvent: (event: NoticeEvent | ProgressEvent) => void): NonNullable<ResolveOptions['onEvent']> {
  return (event) => {
    if (event.type === 'download-progress') {
      onEvent({
        type: 'progress',
        label: `download ${event.id}`,
        done: event.allReceived,
        total: event.allBytes,
        unit: 'bytes',
      })
    } else if (event.type === 'download-retry') {
      onEvent({ type: 'notice', message: `download of ${event.id} was interrupted (${event.reason}); trying again` })
    }
  }
}
