/**
 * @file `doctor`: machine, engines and what each can do, caches, and a tiny self-test of each engine. Uses no network.
 * Must not know a terminal.
 */

import { resolveOptions } from '../config/resolve.ts'
import type { DoctorOptions } from '../config/verbs/index.ts'
import { cachedIds } from '../hub/cache.ts'
import { hubSettings } from '../hub/settings.ts'
import { pathKind } from '../support/files.ts'
import { version } from '../support/version.ts'
import { baseFolder, EMBEDDED } from './base-folder.ts'
import { describeEngine } from './doctor/engines.ts'
import { describeMachine } from './doctor/machine.ts'
import { engineNames, openEngine } from './open-engine.ts'
import type { DoctorReport, EngineReport, ProgressEvent } from './types.ts'

/** Looks at this machine. A broken engine is part of the report, not an error. */
export async function* doctor(options: DoctorOptions = {}): AsyncGenerator<ProgressEvent, DoctorReport> {
  const { selfTest } = resolveOptions('doctor', options)
  const engines: EngineReport[] = []
  for (const [done, name] of engineNames.entries()) {
    yield { type: 'progress', label: `engine ${name}`, done, total: engineNames.length }
    engines.push(await describeEngine(name, () => openEngine(name), selfTest))
  }
  yield { type: 'progress', label: 'engines', done: engineNames.length, total: engineNames.length }
  const { cache, offline, token } = await hubSettings()
  return {
    lowrank: version,
    node: process.versions.node,
    machine: describeMachine(),
    engines,
    caches: [
      {
        name: 'Hugging Face',
        path: cache,
        exists: (await pathKind(cache)) === 'folder',
        models: await cachedIds(cache),
      },
      await embeddedBase(),
    ],
    offline,
    token: token !== undefined,
  }
}

async function embeddedBase(): Promise<DoctorReport['caches'][number]> {
  const path = await baseFolder(EMBEDDED)
  return { name: EMBEDDED, path, exists: (await pathKind(path)) === 'folder' }
}
