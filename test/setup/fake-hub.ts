/**
 * @file A Hugging Face hub on 127.0.0.1 for tests: model info, file tree, files by range, large files on a second origin;
 * with faults on request.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

export interface FakeFile {
  data: Buffer
  /** Large files are named by sha256 and served, after a redirect, by another origin. */
  lfs: boolean
}

export interface FakeRepository {
  commit: string
  revisions: string[]
  files: Record<string, FakeFile>
  /** Answer to requests without the right token. */
  gate?: 'gated' | 'private'
}

export interface FakeHub {
  url: string
  /** "GET /path" of every request, with "Range" where one was sent. */
  log: string[]
  /** Authorization headers that the second origin got. */
  leaked: string[]
  repositories: Record<string, FakeRepository>
  /** Cuts the connection of the next downloads after this many bytes each. */
  cuts: number[]
  /** Serves ranges as whole files. */
  ignoreRanges: boolean
  /** Changes a byte of this file on the way. */
  spoil: string | undefined
  close(): Promise<void>
}

export const TOKEN = 'hf_test'

export function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

function oidOf({ data, lfs }: FakeFile): string {
  return lfs ? sha256(data) : createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex')
}

export async function startHub(repositories: Record<string, FakeRepository>): Promise<FakeHub> {
  const main = createServer((request, response) => answer(hub, storage.url, request, response))
  const second = createServer((request, response) => {
    if (request.headers.authorization !== undefined) hub.leaked.push(request.headers.authorization)
    const [, , id = '', path = ''] = (request.url ?? '').split('/').map(decodeURIComponent)
    sendFile(hub, path, hub.repositories[id]?.files[path]?.data ?? Buffer.alloc(0), request, response)
  })
  const storage = { url: await listen(second) }
  const hub: FakeHub = {
    url: await listen(main),
    log: [],
    leaked: [],
    repositories,
    cuts: [],
    ignoreRanges: false,
    spoil: undefined,
    close: async () => {
      for (const server of [main, second]) {
        server.closeAllConnections()
        server.close()
        await once(server, 'close')
      }
    },
  }
  return hub
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
}

function answer(hub: FakeHub, storage: string, request: IncomingMessage, response: ServerResponse): unknown {
  const url = new URL(request.url ?? '', hub.url)
  const range = request.headers.range
  hub.log.push(`${request.method} ${decodeURIComponent(url.pathname)}${range === undefined ? '' : ` ${range}`}`)
  const found =
    /^(?:\/api\/models)?\/(?<id>.+?)\/(?<verb>revision|tree|resolve)\/(?<revision>[^/]+)\/?(?<path>.*)$/.exec(
      url.pathname,
    )
  const { id = '', verb, revision = '', path = '' } = found?.groups ?? {}
  const refuse = (status: number, code: string): ServerResponse =>
    response.writeHead(status, { 'X-Error-Code': code, 'Content-Type': 'application/json' }).end('{"error":"no"}')
  const repository = hub.repositories[id]
  const allowed = request.headers.authorization === `Bearer ${TOKEN}`
  // The hub does not tell strangers whether a repository exists.
  if (repository === undefined) return refuse(allowed ? 404 : 401, 'RepoNotFound')
  if (repository.gate !== undefined && !allowed)
    return repository.gate === 'gated' ? refuse(401, 'GatedRepo') : refuse(401, 'RepoNotFound')
  const known = [repository.commit, ...repository.revisions]
  if (!known.includes(decodeURIComponent(revision))) return refuse(404, 'RevisionNotFound')
  if (verb === 'resolve') {
    const file = repository.files[path]
    if (file === undefined) return refuse(404, 'EntryNotFound')
    if (!file.lfs) return sendFile(hub, path, file.data, request, response)
    const place = `${storage}/lfs/${encodeURIComponent(id)}/${encodeURIComponent(path)}`
    return response.writeHead(302, { Location: place }).end()
  }
  const body = verb === 'tree' ? Object.entries(repository.files).map(listed) : { _id: '1', id, sha: repository.commit }
  return response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}

function listed([path, file]: [string, FakeFile]): object {
  const size = file.data.length
  const lfs = file.lfs ? { lfs: { oid: oidOf(file), size, pointerSize: 130 } } : {}
  return { type: 'file', path, size, oid: file.lfs ? '0'.repeat(40) : oidOf(file), ...lfs }
}

function sendFile(
  hub: FakeHub,
  path: string,
  data: Buffer,
  request: IncomingMessage,
  response: ServerResponse,
): unknown {
  const asked = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  const [start, end] = asked === null || hub.ignoreRanges ? [0, data.length] : [Number(asked[1]), Number(asked[2]) + 1]
  let body = data.subarray(start, end)
  if (hub.spoil === path) body = Buffer.from(body.map((byte, at) => (at === 0 ? byte ^ 1 : byte)))
  const partial = asked !== null && !hub.ignoreRanges
  response.writeHead(partial ? 206 : 200, {
    'Content-Length': body.length,
    ...(partial ? { 'Content-Range': `bytes ${start}-${end - 1}/${data.length}` } : {}),
  })
  const cut = body.length > 1000 ? hub.cuts.shift() : undefined
  if (cut === undefined) return response.end(body)
  return response.write(body.subarray(0, cut), () => setImmediate(() => response.destroy()))
}
