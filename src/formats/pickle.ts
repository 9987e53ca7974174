/**
 * @file A pickle machine for data alone: numbers, text, tuples, lists, dictionaries. Whatever a pickle imports or calls
 * is asked of a host, which refuses all it does not know; nothing is ever executed.
 * Must not know torch or files. Source: Python's pickletools (opcodes of protocols 2–5).
 */
import { LowrankError } from '../support/errors.ts'
import { opcodeName } from './pickle-opcodes.ts'

/** A value of the host's own, made by an import, a call or a persistent id. */
export abstract class HostValue {
  /** For errors: "the function torch._utils._rebuild_tensor_v2". */
  abstract readonly what: string
}

export class PickleTuple {
  readonly items: readonly PickleValue[]
  constructor(items: readonly PickleValue[]) {
    this.items = items
  }
}

export class PickleList {
  readonly items: PickleValue[] = []
}

/** Later entries of a key stand for it. */
export class PickleDict {
  readonly entries: [key: PickleValue, value: PickleValue][] = []
}

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleTuple
  | PickleList
  | PickleDict
  | HostValue

/** Answers for everything that is not plain data. Each may throw, naming what it does not know. */
export interface PickleHost {
  global(name: string): HostValue
  call(callee: PickleValue, args: readonly PickleValue[]): PickleValue
  persistent(id: PickleValue): PickleValue
  /** Attributes set on an object that is made already. */
  build(object: PickleValue, state: PickleValue): void
}

/** More than a state dictionary of 100,000 tensors has; bounds what a hostile pickle can make us hold. */
const OPERATION_CAP = 4_000_000
/** Wide enough for torch's magic number; integers in state dictionaries have eight bytes at most. */
const INTEGER_CAP = 16
const NAME_CAP = 1000

/**
 * Runs one pickle of `bytes`, from `start` to its STOP.
 * @throws {LowrankError} `format` for damaged pickles, `unsupported` naming an opcode that is not data, and what the host throws.
 */
export function runPickle(
  bytes: Uint8Array,
  host: PickleHost,
  file: string,
  start = 0,
): { value: PickleValue; end: number } {
  const machine = new Machine(bytes, host, file, start)
  const value = machine.run()
  return { value, end: machine.at }
}

class Machine {
  at: number
  readonly host: PickleHost
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #file: string
  readonly #stack: PickleValue[] = []
  readonly #marks: number[] = []
  readonly #memo = new Map<number, PickleValue>()

  constructor(bytes: Uint8Array, host: PickleHost, file: string, start: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.host = host
    this.#file = file
    this.at = start
  }

  run(): PickleValue {
    for (let operations = 0; operations < OPERATION_CAP; operations++) {
      const at = this.at
      const name = opcodeName(this.u8())
      if (name === 'STOP') return this.pop()
      const operation = OPERATIONS[name]
      if (!operation)
        throw new LowrankError(
          'unsupported',
          `${this.#file}: its pickle uses ${name} at byte ${at}, which tensors and containers do not need; nothing was run`,
          { file: this.#file, field: name },
        )
      operation(this)
    }
    throw this.fault(`does more than ${OPERATION_CAP} operations`)
  }

  push(value: PickleValue): void {
    this.#stack.push(value)
  }

  pop(): PickleValue {
    const floor = this.#marks.at(-1) ?? 0
    const value = this.#stack.length > floor ? this.#stack.pop() : undefined
    if (value === undefined) throw this.fault(`takes a value that is not there, at byte ${this.at}`)
    return value
  }

  top(): PickleValue {
    const value = this.#stack.at(-1)
    if (value === undefined) throw this.fault(`looks at a value that is not there, at byte ${this.at}`)
    return value
  }

  mark(): void {
    this.#marks.push(this.#stack.length)
  }

  sinceMark(): PickleValue[] {
    const mark = this.#marks.pop()
    if (mark === undefined) throw this.fault(`lacks a mark at byte ${this.at}`)
    return this.#stack.splice(mark)
  }

  /** Keeps the top; without a key, under the next free one. */
  remember(key = this.#memo.size): void {
    this.#memo.set(key, this.top())
  }

  recall(key: number): void {
    const value = this.#memo.get(key)
    if (value === undefined) throw this.fault(`recalls value ${key}, which it never kept`)
    this.push(value)
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true)
  }

  /** The one number of a pickle that is big-endian. */
  f64(): number {
    return this.#view.getFloat64(this.#take(8), false)
  }

  length64(): number {
    const length = this.#view.getBigUint64(this.#take(8), true)
    if (length > BigInt(this.#bytes.length)) throw this.fault(`claims a value of ${length} bytes`)
    return Number(length)
  }

  raw(bytes: number): Uint8Array {
    const at = this.#take(bytes)
    return this.#bytes.subarray(at, at + bytes)
  }

  text(bytes: number): string {
    const at = this.at
    const raw = this.raw(bytes)
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
    } catch {
      throw this.fault(`holds text that is not UTF-8 at byte ${at}`)
    }
  }

  latin1(bytes: number): string {
    return Buffer.from(this.raw(bytes)).toString('latin1')
  }

  line(): string {
    const end = this.#bytes.subarray(this.at, this.at + NAME_CAP).indexOf(0x0a)
    if (end < 0) throw this.fault(`holds a name without an end at byte ${this.at}`)
    const line = this.text(end)
    this.#take(1)
    return line
  }

  /** Little-endian, in two's complement. */
  integer(bytes: number): number | bigint {
    if (bytes > INTEGER_CAP) throw this.fault(`holds an integer of ${bytes} bytes; at most ${INTEGER_CAP} are read`)
    let value = 0n
    for (const byte of [...this.raw(bytes)].reverse()) value = (value << 8n) | BigInt(byte)
    const signed = BigInt.asIntN(8 * bytes, value)
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed
  }

  fault(problem: string): LowrankError {
    return new LowrankError('format', `${this.#file}: its pickle ${problem}`, { file: this.#file })
  }

  /** Steps over bytes that must be there and answers where they begin. */
  #take(bytes: number): number {
    const at = this.at
    if (bytes > this.#bytes.length - at) throw this.fault(`is cut short: byte ${at} begins a value of ${bytes} bytes`)
    this.at += bytes
    return at
  }
}

type Operation = (s: Machine) => void

const OPERATIONS: Readonly<Record<string, Operation>> = {
  PROTO: (s) => {
    const protocol = s.u8()
    if (protocol < 2 || protocol > 5) throw s.fault(`has protocol ${protocol}; 2 to 5 are read`)
  },
  FRAME: (s) => void s.length64(),
  MARK: (s) => s.mark(),
  POP: (s) => void s.pop(),
  POP_MARK: (s) => void s.sinceMark(),
  NONE: (s) => s.push(null),
  NEWTRUE: (s) => s.push(true),
  NEWFALSE: (s) => s.push(false),
  BININT: (s) => s.push(s.i32()),
  BININT1: (s) => s.push(s.u8()),
  BININT2: (s) => s.push(s.u16()),
  LONG1: (s) => s.push(s.integer(s.u8())),
  LONG4: (s) => s.push(s.integer(s.u32())),
  BINFLOAT: (s) => s.push(s.f64()),
  SHORT_BINUNICODE: (s) => s.push(s.text(s.u8())),
  BINUNICODE: (s) => s.push(s.text(s.u32())),
  BINUNICODE8: (s) => s.push(s.text(s.length64())),
  // Python 2 wrote its text so.
  SHORT_BINSTRING: (s) => s.push(s.latin1(s.u8())),
  BINSTRING: (s) => s.push(s.latin1(s.u32())),
  SHORT_BINBYTES: (s) => s.push(s.raw(s.u8())),
  BINBYTES: (s) => s.push(s.raw(s.u32())),
  BINBYTES8: (s) => s.push(s.raw(s.length64())),
  EMPTY_TUPLE: (s) => s.push(new PickleTuple([])),
  TUPLE1: (s) => s.push(new PickleTuple([s.pop()])),
  TUPLE2: (s) => s.push(new PickleTuple([s.pop(), s.pop()].reverse())),
  TUPLE3: (s) => s.push(new PickleTuple([s.pop(), s.pop(), s.pop()].reverse())),
  TUPLE: (s) => s.push(new PickleTuple(s.sinceMark())),
  EMPTY_LIST: (s) => s.push(new PickleList()),
  EMPTY_DICT: (s) => s.push(new PickleDict()),
  APPEND: (s) => {
    const value = s.pop()
    listAt(s).items.push(value)
  },
  APPENDS: (s) => {
    const values = s.sinceMark()
    const { items } = listAt(s)
    for (const value of values) items.push(value)
  },
  SETITEM: (s) => {
    const [value, key] = [s.pop(), s.pop()]
    dictAt(s).entries.push([key, value])
  },
  SETITEMS: (s) => setItems(s, s.sinceMark()),
  BINGET: (s) => s.recall(s.u8()),
  LONG_BINGET: (s) => s.recall(s.u32()),
  BINPUT: (s) => s.remember(s.u8()),
  LONG_BINPUT: (s) => s.remember(s.u32()),
  MEMOIZE: (s) => s.remember(),
  GLOBAL: (s) => s.push(s.host.global(`${s.line()}.${s.line()}`)),
  STACK_GLOBAL: (s) => {
    const [name, module] = [s.pop(), s.pop()]
    if (typeof name !== 'string' || typeof module !== 'string') throw s.fault('imports something that is not a name')
    s.push(s.host.global(`${module}.${name}`))
  },
  REDUCE: call,
  NEWOBJ: call,
  BUILD: (s) => {
    const state = s.pop()
    s.host.build(s.top(), state)
  },
  BINPERSID: (s) => s.push(s.host.persistent(s.pop())),
}

function call(s: Machine): void {
  const [args, callee] = [s.pop(), s.pop()]
  if (!(args instanceof PickleTuple)) throw s.fault('calls something without a tuple of arguments')
  s.push(s.host.call(callee, args.items))
}

function listAt(s: Machine): PickleList {
  const list = s.top()
  if (!(list instanceof PickleList)) throw s.fault('appends to something that is not a list')
  return list
}

function dictAt(s: Machine): PickleDict {
  const dict = s.top()
  if (!(dict instanceof PickleDict)) throw s.fault('sets items of something that is not a dictionary')
  return dict
}

function setItems(s: Machine, flat: readonly PickleValue[]): void {
  const { entries } = dictAt(s)
  if (flat.length % 2 !== 0) throw s.fault('sets a key without a value')
  for (let i = 0; i + 1 < flat.length; i += 2) entries.push([flat[i] ?? null, flat[i + 1] ?? null])
}
