/**
 * @file Reads where the Hugging Face cache and hub are from the environment, by the variables huggingface_hub uses.
 * Must not know downloads. Source: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readBounded } from '../support/files.ts'

export interface HubSettings {
  /** Base URL without a slash at its end. */
  endpoint: string
  /** Folder with `models--owner--name` folders. */
  cache: string
  token: string | undefined
  /** Whether no connection may be made. */
  offline: boolean
}

export type Environment = Readonly<Record<string, string | undefined>>

/** @throws {LowrankError} `usage` where HF_ENDPOINT is no URL. */
export async function hubSettings(env: Environment = process.env): Promise<HubSettings> {
  const home = hubHome(env)
  return {
    endpoint: endpointOf(set(env.HF_ENDPOINT) ?? 'https://huggingface.co'),
    cache: expand(set(env.HF_HUB_CACHE) ?? set(env.HUGGINGFACE_HUB_CACHE) ?? join(home, 'hub')),
    token: set(env.HF_TOKEN) ?? set(env.HUGGING_FACE_HUB_TOKEN) ?? (await savedToken(env, home)),
    offline: /^(1|on|yes|true)$/i.test(env.HF_HUB_OFFLINE ?? ''),
  }
}

function hubHome(env: Environment): string {
  const caches = set(env.XDG_CACHE_HOME) ?? join(homedir(), '.cache')
  return expand(set(env.HF_HOME) ?? join(caches, 'huggingface'))
}

function endpointOf(text: string): string {
  try {
    return new URL(text).href.replace(/\/+$/, '')
  } catch {
    throw new LowrankError('usage', `HF_ENDPOINT is ${JSON.stringify(text)}, not a URL`, { field: 'HF_ENDPOINT' })
  }
}

/** What `hf auth login` saved. */
async function savedToken(env: Environment, home: string): Promise<string | undefined> {
  const file = expand(set(env.HF_TOKEN_PATH) ?? join(home, 'token'))
  if ((await pathKind(file)) !== 'file') return undefined
  return set(Buffer.from(await readBounded(file, 4096)).toString('utf8'))
}

/** Text with something in it: an empty variable counts as not set, and a token's line break is not part of it. */
function set(text: string | undefined): string | undefined {
  const trimmed = text?.trim()
  return trimmed === '' ? undefined : trimmed
}

function expand(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
}
