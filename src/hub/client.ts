/**
 * @file Asks a Hugging Face hub what a repository holds, and turns every refusal into one clear error.
 * Must not know the cache. Endpoints and headers are those @huggingface/hub uses.
 */
import { listFiles, modelInfo } from '@huggingface/hub'
import { LowrankError } from '../support/errors.ts'
import { systemCode } from '../support/files.ts'
import type { HubSettings } from './settings.ts'

export interface RemoteFile {
  path: string
  bytes: number
  /** Name of its blob: the sha256 of a large file, the git object id (sha1) of a small one. */
  oid: string
  hash: 'sha256' | 'git'
}

export interface RemoteModel {
  id: string
  commit: string
  files: RemoteFile[]
}

/** What a request is about, for errors. */
export interface Subject {
  id: string
  revision: string
}

const CONNECTION: Record<string, string> = {
  ECONNREFUSED: 'the connection was refused',
  ENOTFOUND: 'the host is unknown',
  EAI_AGAIN: 'the host name could not be looked up',
  ETIMEDOUT: 'the connection timed out',
  ECONNRESET: 'the connection was cut',
  UND_ERR_CONNECT_TIMEOUT: 'the connection timed out',
  UND_ERR_HEADERS_TIMEOUT: 'the server does not answer',
  UND_ERR_BODY_TIMEOUT: 'the server stopped sending',
  UND_ERR_SOCKET: 'the connection was cut',
  CERT_HAS_EXPIRED: 'its certificate has expired',
}

/**
 * A `fetch` for one repository: sends the token to the hub only (never to a download host it redirects to), stops with
 * `signal`, and throws a LowrankError for every answer that is not a success: `missing` for what is not there or not
 * allowed, `network` for what may work later.
 */
export function hubFetch(settings: HubSettings, subject: Subject, signal?: AbortSignal): typeof fetch {
  const origin = new URL(settings.endpoint).origin
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    const headers = new Headers(init?.headers)
    headers.set('User-Agent', 'lowrank')
    if (settings.token !== undefined && url.origin === origin) headers.set('Authorization', `Bearer ${settings.token}`)
    let response: Response
    try {
      response = await fetch(url, { ...init, headers, ...(signal === undefined ? {} : { signal }) })
    } catch (error) {
      throw connectionError(error, settings.endpoint, signal)
    }
    if (response.ok) return response
    await response.body?.cancel()
    throw refusal(response, settings, subject)
  }
}

/** Commit and files of a revision. @throws {LowrankError} `missing`, `network`, `stopped`. */
export async function listModel(settings: HubSettings, subject: Subject, signal?: AbortSignal): Promise<RemoteModel> {
  const { id, revision } = subject
  const request = { hubUrl: settings.endpoint, fetch: hubFetch(settings, subject, signal) }
  try {
    const { sha } = await modelInfo({ ...request, name: id, revision, additionalFields: ['sha'] })
    if (!/^[0-9a-f]{40}$/.test(sha)) throw new TypeError('no commit')
    const files: RemoteFile[] = []
    for await (const { type, path, size, oid, lfs } of listFiles({
      ...request,
      repo: { type: 'model', name: id },
      revision: sha,
    }))
      if (type === 'file')
        files.push(checkFile({ path, bytes: size, oid: lfs?.oid ?? oid ?? '', hash: lfs ? 'sha256' : 'git' }))
    return { id, commit: sha, files }
  } catch (error) {
    if (error instanceof LowrankError) throw error
    throw new LowrankError('network', `${settings.endpoint} does not answer as a Hugging Face hub does`, {
      cause: error,
    })
  }
}

/** The error for a connection that failed or broke. */
export function connectionError(error: unknown, endpoint: string, signal?: AbortSignal): LowrankError {
  if (error instanceof LowrankError) return error
  if (signal?.aborted === true) return new LowrankError('stopped', 'the download was stopped')
  const code = causes(error)
    .map(systemCode)
    .find((found) => found !== undefined)
  const why = code === undefined ? 'the connection failed' : (CONNECTION[code] ?? `the system says ${code}`)
  return new LowrankError('network', `cannot reach ${endpoint}: ${why}`, {
    cause: error,
    suggestion: 'check the network and HF_ENDPOINT; a model in the cache works with --offline',
  })
}

/** An error and what caused it; fetch wraps the system's error once or twice. */
function causes(error: unknown): unknown[] {
  const chain: unknown[] = []
  for (let one = error; one instanceof Error && chain.length < 5; one = one.cause) {
    chain.push(one)
    if (one instanceof AggregateError) chain.push(...one.errors)
  }
  return chain
}

function refusal(response: Response, settings: HubSettings, { id, revision }: Subject): LowrankError {
  const { endpoint, token } = settings
  const why = response.headers.get('X-Error-Code') ?? ''
  const { status } = response
  const login = 'set HF_TOKEN to a token from your Hugging Face settings'
  if (why === 'GatedRepo')
    return new LowrankError('missing', `${id} is gated: its terms must be accepted at ${endpoint}/${id}`, {
      field: id,
      suggestion: token === undefined ? login : 'accept them with the account of this token',
    })
  if (why === 'RevisionNotFound')
    return new LowrankError('missing', `${id} has no revision ${revision}`, { field: 'revision' })
  if (status === 401 || status === 403) {
    const message =
      token === undefined ? 'does not exist, or needs a token' : 'does not exist, or this token may not read it'
    return new LowrankError('missing', `${id} ${message} (${endpoint} answers ${status})`, {
      field: id,
      suggestion: token === undefined ? login : 'check HF_TOKEN',
    })
  }
  if (status === 404) return new LowrankError('missing', `there is no model ${id} at ${endpoint}`, { field: id })
  const busy = status === 429 ? 'asks for fewer requests' : 'is out of order'
  return new LowrankError('network', `${endpoint} ${busy} (status ${status})`, { suggestion: 'try again later' })
}

/** A listing is foreign text: its blob names become file names. */
function checkFile(file: RemoteFile): RemoteFile {
  const good = Number.isSafeInteger(file.bytes) && file.bytes >= 0 && /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(file.oid)
  if (!good) throw new TypeError(`a listing with an impossible file ${file.path}`)
  return file
}
