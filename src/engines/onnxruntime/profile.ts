/**
 * @file What ONNX Runtime's trace says of a session's runs. Node names carry which node of the graph they belong to, so
 * the trace is all that is needed. Must not know sessions.
 */
import type { Profile, Timing } from '../../engine/engine.ts'
import type { Node, Phase } from '../../graph/types.ts'

/** What names of ONNX nodes begin with: phase, op and scope of the node they are lowered from. */
export function placeOf({ phase, op, scope }: Pick<Node, 'phase' | 'op' | 'scope'>): string {
  return `${phase} ${op} ${scope}`
}

/** An event of the trace, as far as it is read. Times in microseconds. */
interface TraceEvent {
  readonly cat: string
  readonly name: string
  readonly ts: number
  readonly dur: number
  readonly args: {
    readonly op_name?: string
    readonly input_type_shape?: readonly Shape[]
    readonly output_type_shape?: readonly Shape[]
    readonly output_size?: string
    readonly parameter_size?: string
    readonly activation_size?: string
    readonly mem_bytes_in_use?: string
  }
}

/** `{ "float": [1, 2, 3] }` */
type Shape = Readonly<Record<string, readonly number[]>>

/** What was done before each run, outside of the trace. */
export interface DrawnMasks {
  /** Of each run. */
  readonly seconds: readonly number[]
  readonly bytes: number
}

/** @param trace the events of a whole session */
export function profileOf(trace: readonly TraceEvent[], masks: DrawnMasks): Profile {
  const runs = trace.filter(({ name }) => name === 'model_run').sort((a, b) => a.ts - b.ts)
  const looked = runs.length > 1 ? runs.slice(1) : runs
  const nodes = trace
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
    .sort((a, b) => a.ts - b.ts)
  const within = looked.map((run) => nodes.filter(({ ts }) => ts >= run.ts && ts < run.ts + run.dur))
  const totals = new Map<string, number>()
  for (const { name, dur } of within.flat()) totals.set(name, (totals.get(name) ?? 0) + dur)
  const last = within.at(-1) ?? []
  const drawing = mean(looked.length === 0 ? [] : masks.seconds.slice(-looked.length))
  const timings = last.map((event) => timingOf(event, (totals.get(event.name) ?? 0) / looked.length / 1e6))
  const held = last.map(({ args }) => Number(args.mem_bytes_in_use ?? 0) + masks.bytes)
  return {
    runs: looked.length,
    seconds: mean(looked.map(({ dur }) => dur)) / 1e6 + drawing,
    timings: masks.bytes > 0 ? [drawn(drawing, masks.bytes), ...timings] : timings,
    held: masks.bytes > 0 ? [masks.bytes, ...held] : held,
  }
}

function drawn(seconds: number, bytes: number): Timing {
  return { op: 'dropoutMask', scope: '', phase: 'forward', kernel: 'drawn before the run', seconds, flops: 0, bytes }
}

function timingOf({ name, args }: TraceEvent, seconds: number): Timing {
  const [phase = 'forward', op = '', scope = ''] = name.split(' ')
  const bytes = Number(args.output_size ?? 0) + Number(args.parameter_size ?? 0) + Number(args.activation_size ?? 0)
  return { op, scope, phase: phase as Phase, kernel: args.op_name ?? '', seconds, flops: flopsOf(args), bytes }
}

const PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'FusedMatMul', 'Gemm'])

/** Twice the output's size times the extent that is summed over: the one of A's last two that is not the output's row. */
function flopsOf({ op_name = '', input_type_shape: inputs = [], output_type_shape: outputs = [] }: TraceEvent['args']) {
  const [a, out] = [Object.values(inputs[0] ?? {})[0] ?? [], Object.values(outputs[0] ?? {})[0] ?? []]
  if (!PRODUCTS.has(op_name) || a.length < 2 || out.length < 2) return 0
  const [first = 0, second = 0] = a.slice(-2)
  const inner = first === out.at(-2) ? second : first
  return 2 * inner * out.reduce((size, extent) => size * extent, 1)
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
}
