/**
 * @file The main thread's end of the worker: starts it at the first request, matches replies, and never lets the process
 * end while ONNX Runtime is inside a run (which aborts it). Must not know graphs.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { LowrankError } from '../../support/errors.ts'
import type { Answer, Envelope, Reply, Request, WorkerStart } from './protocol.ts'

/** A run that has not ended after this long at exit is given up. */
const DRAIN_MS = 120_000

interface Waiting {
  resolve(reply: Answer): void
  reject(error: Error): void
}

export class WorkerClient {
  readonly #waiting = new Map<number, Waiting>()
  readonly #open = new Int32Array(new SharedArrayBuffer(4))
  readonly #drain = (): void => {
    for (let left = Atomics.load(this.#open, 0); left > 0; left = Atomics.load(this.#open, 0)) {
      if (Atomics.wait(this.#open, 0, left, DRAIN_MS) === 'timed-out') return
    }
  }
  #worker: Worker | undefined
  #count = 0

  /** @throws LowrankError 'engine' with ONNX Runtime's own words. */
  async request(request: Request, transfer: readonly ArrayBuffer[] = []): Promise<Answer> {
    const worker = this.#start()
    const id = ++this.#count
    return await new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      worker.ref()
      Atomics.add(this.#open, 0, 1)
      worker.postMessage({ id, request } satisfies Envelope, [...transfer])
    })
  }

  /** Waits for what is in flight, then ends the worker. */
  async dispose(): Promise<void> {
    const worker = this.#worker
    if (!worker) return
    while (this.#waiting.size > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    this.#worker = undefined
    process.off('exit', this.#drain)
    await worker.terminate()
  }

  #start(): Worker {
    if (this.#worker) return this.#worker
    const worker = new Worker(workerFile(), {
      workerData: { inFlight: this.#open.buffer } satisfies WorkerStart,
      // Flags of the main script (--input-type, --import of a test runner) mean nothing to it and may even stop it.
      execArgv: [],
    })
    this.#worker = worker
    worker.unref()
    worker.on('message', (reply: Reply) => this.#settle(reply))
    worker.on('error', (error) => this.#fail(error))
    worker.on('exit', () => this.#fail(new Error('the worker thread ended')))
    process.on('exit', this.#drain)
    return worker
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id)
    this.#waiting.delete(reply.id)
    // An idle worker must not keep the process alive.
    if (this.#waiting.size === 0) this.#worker?.unref()
    if ('error' in reply) waiting?.reject(new LowrankError('engine', `ONNX Runtime: ${reply.error}`))
    else waiting?.resolve(reply)
  }

  #fail(cause: Error): void {
    this.#worker = undefined
    process.off('exit', this.#drain)
    for (const { reject } of this.#waiting.values()) {
      reject(new LowrankError('engine', `the onnxruntime engine stopped: ${cause.message}`, { cause }))
    }
    this.#waiting.clear()
    Atomics.store(this.#open, 0, 0)
  }
}

/** A worker is started from JavaScript: beside this file once compiled, in dist/ when this file runs as TypeScript. */
function workerFile(): URL {
  const file = import.meta.url.endsWith('.ts')
    ? new URL('../../../dist/engines/onnxruntime/worker.js', import.meta.url)
    : new URL('./worker.js', import.meta.url)
  if (!existsSync(file))
    throw new LowrankError('missing', 'the engine worker is not built', {
      file: fileURLToPath(file),
      suggestion: 'npm run build',
    })
  return file
}
