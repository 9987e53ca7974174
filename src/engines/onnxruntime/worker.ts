/**
 * @file The thread that ONNX Runtime works in: creating and running sessions block their thread. Keeps state between
 * runs, so that adapters and moments cross threads only when someone asks. Must not know graphs.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { DType } from '../../tensor/dtype.ts'
import type { HostTensor } from '../../tensor/host-tensor.ts'
import { Masks } from './masks.ts'
import { profileOf } from './profile.ts'
import type { Answer, Envelope, NamedTensors, Reply, Request, SessionSettings, WorkerStart } from './protocol.ts'

interface Loaded {
  readonly session: InferenceSession
  readonly held: Readonly<Record<string, Tensor>>
  readonly state: Map<string, Tensor>
  /** By state input, the tensor it had before, whose memory takes the next value. */
  readonly spare: Map<string, Tensor>
  readonly masks: Masks
  /** Folder that ONNX Runtime writes its trace to. */
  readonly trace: string | undefined
}

const TYPE: { readonly [K in Exclude<DType, 'bf16'>]: Tensor.Type } = {
  f32: 'float32',
  f16: 'float16',
  i64: 'int64',
  i32: 'int32',
  u32: 'uint32',
  u8: 'uint8',
  bool: 'bool',
}
const DTYPE = new Map(Object.entries(TYPE).map(([dtype, type]) => [type, dtype as Exclude<DType, 'bf16'>]))

const sessions = new Map<number, Loaded>()
let count = 0

async function compile({ model, held, settings }: Extract<Request, { kind: 'compile' }>): Promise<number> {
  const trace = settings.profiles ? mkdtempSync(join(tmpdir(), 'lowrank-trace-')) : undefined
  const session = await InferenceSession.create(model, sessionOptions(settings, trace))
  const tensors = Object.fromEntries(Object.entries(held).map(([name, value]) => [name, toOrt(value)]))
  sessions.set(++count, {
    session,
    held: tensors,
    state: new Map(),
    spare: new Map(),
    masks: new Masks({ keepsTimes: settings.profiles }),
    trace,
  })
  return count
}

function sessionOptions(settings: SessionSettings, trace: string | undefined): InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: settings.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Its optimizers would merge recomputed nodes with their originals and reorder; the graph arrives optimized.
    graphOptimizationLevel: settings.foldsCasts ? 'basic' : 'disabled',
    enableMemPattern: settings.plansMemory,
    ...(trace === undefined ? {} : { enableProfiling: true, profileFilePrefix: join(trace, 'trace') }),
    // Errors are thrown; printing them as well would be noise on the user's terminal.
    logSeverityLevel: 4,
    extra: {
      session: {
        // Locations of weights are relative to the root: a model may have its files anywhere.
        model_external_initializers_file_folder_path: '/',
        // exp of a masked score is denormal, and denormals make the products after it several times slower.
        set_denormal_as_zero: '1',
        ...(settings.sharesWeights ? { disable_prepacking: '1' } : {}),
      },
      ...(settings.foldsCasts ? { optimization: { disable_specified_optimizers: OTHER_OPTIMIZERS } } : {}),
    },
  }
}

/** Everything at level "basic" but constant folding: nothing else may merge, move or replace nodes. */
const OTHER_OPTIMIZERS = [
  ...['ConstantSharing', 'CommonSubexpressionElimination', 'MatMulAddFusion', 'ReshapeFusion', 'TransposeOptimizer'],
  ...['CastChainElimination', 'CastElimination', 'ConvAddFusion', 'ConvBNFusion', 'ConvMulFusion', 'DivMulFusion'],
  ...['DoubleQDQPairsRemover', 'ExpandElimination', 'GatherToSliceFusion', 'GatherSliceToSplitFusion'],
  ...['GeluFusionL1', 'LayerNormFusionL1', 'QuickGeluFusion', 'GemmActivationFusion', 'GemmSumFusion'],
  ...['GemmTransposeFusion', 'LabelEncoderFusion', 'MatmulBNFusion', 'NoopElimination', 'NotWhereFusion', 'PadFusion'],
  ...['PreShapeNodeElimination', 'QDQPropagationTransformer', 'UnsqueezeElimination', 'EliminateIdentity'],
  ...['EliminateSlice', 'EliminateDropout', 'FuseReluClip', 'FuseInitializersTransformer'],
].join(';')

async function run(request: Extract<Request, { kind: 'run' }>): Promise<NamedTensors> {
  const { fetch, carry } = request
  const { session, state, spare } = loaded(request.session)
  // Fresh memory for each new state would cost as much as computing it.
  const wanted = new Map<string, Tensor | null>(fetch.map((name) => [name, null]))
  for (const { input, value, keepsShape } of carry) wanted.set(value, (keepsShape && spare.get(input)) || null)
  const outputs = await session.run(inputsOf(request), Object.fromEntries(wanted))
  const value = (name: string): Tensor => {
    const found = outputs[name]
    if (!found) throw new Error(`the run gave no '${name}'`)
    return found
  }
  for (const { input, value: name } of carry) {
    const before = state.get(input)
    if (before) spare.set(input, before)
    state.set(input, value(name))
  }
  // What stays as state must not be transferred away: it is copied.
  const kept = new Set(carry.map(({ value: name }) => name))
  return Object.fromEntries(
    fetch.map((name) => [name, kept.has(name) ? copied(toHost(value(name))) : toHost(value(name))]),
  )
}

function inputsOf({ session, feeds, masks: draws }: Extract<Request, { kind: 'run' }>): Record<string, Tensor> {
  const { held, state, masks } = loaded(session)
  const inputs: Record<string, Tensor> = { ...held, ...Object.fromEntries(state) }
  for (const [name, value] of Object.entries(feeds)) inputs[name] = toOrt(value)
  const drawn = masks.draw(draws, (name) => {
    const keys = feeds[name]
    if (keys?.dtype !== 'u32') throw new Error(`the run has no keys '${name}'`)
    return keys
  })
  for (const { name, data, shape } of drawn) inputs[name] = new Tensor('float32', data, shape)
  return inputs
}

function write({ session, values }: Extract<Request, { kind: 'write' }>): void {
  const { state, spare } = loaded(session)
  for (const [name, value] of Object.entries(values)) {
    state.set(name, toOrt(value))
    // It may have been of another shape.
    spare.delete(name)
  }
}

function read({ session, names }: Extract<Request, { kind: 'read' }>): NamedTensors {
  const { state } = loaded(session)
  return Object.fromEntries(
    names.map((name) => {
      const value = state.get(name)
      if (!value) throw new Error(`state '${name}' is not set`)
      return [name, copied(toHost(value))]
    }),
  )
}

/** Ends the trace and reads it. */
function profile(id: number): Answer {
  const { session, trace, masks } = loaded(id)
  if (trace === undefined) throw new Error('the session keeps no times')
  session.endProfiling()
  const [file = ''] = readdirSync(trace)
  const text = readFileSync(join(trace, file), 'utf8')
  rmSync(trace, { recursive: true })
  return { session: id, tensors: {}, profile: profileOf(JSON.parse(text), masks) }
}

async function answer(request: Request): Promise<Answer> {
  switch (request.kind) {
    case 'compile':
      return { session: await compile(request), tensors: {} }
    case 'run':
      return { session: request.session, tensors: await run(request) }
    case 'read':
      return { session: request.session, tensors: read(request) }
    case 'write':
      write(request)
      return { session: request.session, tensors: {} }
    case 'profile':
      return profile(request.session)
    case 'release': {
      const { session, trace } = loaded(request.session)
      await session.release()
      if (trace !== undefined) rmSync(trace, { recursive: true, force: true })
      sessions.delete(request.session)
      return { session: request.session, tensors: {} }
    }
  }
}

function loaded(id: number): Loaded {
  const found = sessions.get(id)
  if (!found) throw new Error(`no session ${id}`)
  return found
}

function toOrt({ dtype, shape, data }: HostTensor): Tensor {
  if (dtype === 'bf16') throw new Error('bf16 tensors cannot enter a graph')
  return new Tensor(TYPE[dtype], data as never, shape)
}

function toHost(tensor: Tensor): HostTensor {
  const dtype = DTYPE.get(tensor.type)
  if (dtype === undefined) throw new Error(`the run gave a ${tensor.type}`)
  return { dtype, shape: [...tensor.dims], data: tensor.data } as HostTensor
}

function copied(tensor: HostTensor): HostTensor {
  return { ...tensor, data: tensor.data.slice() } as HostTensor
}

const { inFlight } = workerData as WorkerStart
const open = new Int32Array(inFlight)
// One request after another: a session runs one thing at a time, and state follows the order of requests.
let queue = Promise.resolve()

parentPort?.on('message', ({ id, request }: Envelope) => {
  queue = queue.then(async () => {
    let reply: Reply
    try {
      reply = { id, ...(await answer(request)) }
    } catch (error) {
      reply = { id, error: error instanceof Error ? error.message : String(error) }
    }
    const buffers = 'tensors' in reply ? Object.values(reply.tensors).map((t) => t.data.buffer as ArrayBuffer) : []
    parentPort?.postMessage(reply, [...new Set(buffers)])
    Atomics.sub(open, 0, 1)
    Atomics.notify(open, 0)
  })
})
