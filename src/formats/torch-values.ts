/**
 * @file What a torch pickle may hold besides plain data: storages, tensors, dtypes. Every other import is refused by name.
 * Must not know files or where bytes lie. Source: torch/_utils.py (_rebuild_*), torch/_weights_only_unpickler.py 2.15.
 */
import { LowrankError } from '../support/errors.ts'
import type { DType } from '../tensor/dtype.ts'
import { HostValue, PickleDict, type PickleHost, PickleList, PickleTuple, type PickleValue } from './pickle.ts'
import type { ListedDType } from './safetensors.ts'

/** Types of storages and tensors; an untyped storage is bytes. */
export type TorchDType = DType | ListedDType | 'untyped'

/** Bytes that tensors view; several may share one. */
export class TorchStorage extends HostValue {
  readonly what = 'a storage'
  readonly key: string
  readonly dtype: TorchDType
  /** Elements, or bytes where it is untyped. */
  readonly count: number
  constructor(key: string, dtype: TorchDType, count: number) {
    super()
    this.key = key
    this.dtype = dtype
    this.count = count
  }
}

/** A view of a storage, not checked yet: its name is known only where it stands. */
export class TorchView extends HostValue {
  readonly what = 'a tensor'
  readonly storage: TorchStorage
  readonly dtype: TorchDType
  /** Elements before the first. */
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  constructor(view: Omit<TorchView, 'what'>) {
    super()
    this.storage = view.storage
    this.dtype = view.dtype
    this.offset = view.offset
    this.shape = view.shape
    this.strides = view.strides
  }
}

class TorchName extends HostValue {
  readonly name: string
  constructor(name: string) {
    super()
    this.name = name
  }
  get what(): string {
    return this.name
  }
}

/** Bytes an element; 0 where lowrank does not know it, so that no size can follow from it. */
export const TORCH_BYTES: Readonly<Partial<Record<TorchDType, number>>> = {
  ...{ f64: 8, f32: 4, f16: 2, bf16: 2, i64: 8, i32: 4, i16: 2, i8: 1, u8: 1, u16: 2, u32: 4, u64: 8, bool: 1 },
  ...{ c64: 8, c128: 16, f8_e4m3: 1, f8_e5m2: 1, f8_e4m3fnuz: 1, f8_e5m2fnuz: 1, f8_e8m0: 1, untyped: 1 },
}

const STORAGES: Readonly<Record<string, TorchDType>> = {
  'torch.DoubleStorage': 'f64',
  'torch.FloatStorage': 'f32',
  'torch.HalfStorage': 'f16',
  'torch.BFloat16Storage': 'bf16',
  'torch.LongStorage': 'i64',
  'torch.IntStorage': 'i32',
  'torch.ShortStorage': 'i16',
  'torch.CharStorage': 'i8',
  'torch.ByteStorage': 'u8',
  'torch.BoolStorage': 'bool',
  'torch.ComplexFloatStorage': 'c64',
  'torch.ComplexDoubleStorage': 'c128',
  'torch.UntypedStorage': 'untyped',
  'torch.storage.UntypedStorage': 'untyped',
}

const DTYPES: Readonly<Record<string, TorchDType>> = {
  'torch.float64': 'f64',
  'torch.float32': 'f32',
  'torch.float16': 'f16',
  'torch.bfloat16': 'bf16',
  'torch.int64': 'i64',
  'torch.int32': 'i32',
  'torch.int16': 'i16',
  'torch.int8': 'i8',
  'torch.uint8': 'u8',
  'torch.uint16': 'u16',
  'torch.uint32': 'u32',
  'torch.uint64': 'u64',
  'torch.bool': 'bool',
  'torch.complex64': 'c64',
  'torch.float8_e4m3fn': 'f8_e4m3',
  'torch.float8_e5m2': 'f8_e5m2',
  'torch.float8_e4m3fnuz': 'f8_e4m3fnuz',
  'torch.float8_e5m2fnuz': 'f8_e5m2fnuz',
  'torch.float8_e8m0fnu': 'f8_e8m0',
}

type Call = (args: readonly PickleValue[], fault: Fault) => PickleValue
type Fault = (problem: string) => LowrankError

/** What may be called. Hooks and gradients' flags are left behind. */
const CALLS: Readonly<Record<string, Call>> = {
  'collections.OrderedDict': (args, fault) => orderedDict(args, fault),
  'torch._utils._rebuild_tensor': ([storage, offset, shape, strides], fault) =>
    rebuild(storage, offset, shape, strides, undefined, fault),
  'torch._utils._rebuild_tensor_v2': ([storage, offset, shape, strides], fault) =>
    rebuild(storage, offset, shape, strides, undefined, fault),
  'torch._utils._rebuild_tensor_v3': ([storage, offset, shape, strides, , , dtype], fault) =>
    rebuild(storage, offset, shape, strides, dtype, fault),
  'torch._utils._rebuild_parameter': ([tensor], fault) => parameter(tensor, fault),
  'torch._utils._rebuild_parameter_with_state': ([tensor], fault) => parameter(tensor, fault),
  'torch.Size': ([items], fault) => new PickleTuple(itemsOf(items ?? new PickleTuple([]), fault)),
  'torch.device': ([kind], fault) => {
    if (typeof kind !== 'string') throw fault('names a device that is not text')
    return new TorchName(`device ${kind}`)
  },
}

/** The host of one file's pickles. */
export function torchHost(file: string): PickleHost {
  const fault: Fault = (problem) => new LowrankError('format', `${file}: its pickle ${problem}`, { file })
  return {
    global(name) {
      if (Object.hasOwn(CALLS, name) || Object.hasOwn(STORAGES, name) || Object.hasOwn(DTYPES, name))
        return new TorchName(name)
      throw new LowrankError(
        'unsupported',
        `${file}: its pickle asks for ${shown(name)}, which is neither a tensor nor a container; nothing was run`,
        { file, field: shown(name), suggestion: 'save only the state dictionary, or save as safetensors' },
      )
    },
    call(callee, args) {
      const call = callee instanceof TorchName ? CALLS[callee.name] : undefined
      if (!call) throw fault(`calls ${describe(callee)}, which is no function`)
      return call(args, fault)
    },
    persistent: (id) => storage(id, fault),
    build(object) {
      // state_dict() hangs `_metadata` on its dictionary; nothing of it is needed.
      if (!(object instanceof PickleDict)) throw fault(`sets attributes of ${describe(object)}`)
    },
  }
}

/** A value in a few words, for errors. */
export function describe(value: PickleValue): string {
  if (value === null) return 'None'
  if (value instanceof HostValue) return value.what
  if (value instanceof PickleTuple) return 'a tuple'
  if (value instanceof PickleList) return 'a list'
  if (value instanceof PickleDict) return 'a dictionary'
  if (value instanceof Uint8Array) return 'bytes'
  return typeof value === 'string' ? `the text ${shown(value)}` : `the ${typeof value} ${value}`
}

function orderedDict([pairs]: readonly PickleValue[], fault: Fault): PickleDict {
  const dict = new PickleDict()
  if (pairs === undefined) return dict
  for (const pair of itemsOf(pairs, fault)) {
    const [key, value, ...more] = itemsOf(pair, fault)
    if (key === undefined || value === undefined || more.length > 0)
      throw fault('makes a dictionary of something that is not pairs')
    dict.entries.push([key, value])
  }
  return dict
}

/** `('storage', type, key, device, elements)`; the older format has a view of another storage as a sixth. */
function storage(id: PickleValue, fault: Fault): TorchStorage {
  const [tag, type, key, , count, view] = id instanceof PickleTuple ? id.items : []
  const dtype = type instanceof TorchName ? STORAGES[type.name] : undefined
  if (tag !== 'storage' || dtype === undefined || typeof key !== 'string' || !isCount(count))
    throw fault('refers to something outside it that is not a storage')
  if (view !== undefined && view !== null)
    throw fault(`has storage ${shown(key)} as a view of another, which is not read`)
  return new TorchStorage(key, dtype, count)
}

function rebuild(
  from: PickleValue | undefined,
  offset: PickleValue | undefined,
  shape: PickleValue | undefined,
  strides: PickleValue | undefined,
  type: PickleValue | undefined,
  fault: Fault,
): TorchView {
  if (!(from instanceof TorchStorage)) throw fault('makes a tensor of something that is not a storage')
  const counts = (value: PickleValue | undefined): readonly number[] => {
    const items = value instanceof PickleTuple || value instanceof PickleList ? value.items : [undefined]
    if (items.length > RANK_CAP || !items.every(isCount)) throw fault('makes a tensor of a shape that is not one')
    return items
  }
  const dtype = type === undefined ? from.dtype : type instanceof TorchName ? DTYPES[type.name] : undefined
  if (dtype === undefined) throw fault('makes a tensor of a type that is not one')
  if (!isCount(offset)) throw fault('makes a tensor at a place that is not one')
  const view = { storage: from, dtype, offset, shape: counts(shape), strides: counts(strides) }
  if (view.shape.length !== view.strides.length) throw fault('makes a tensor with more strides than sides')
  return new TorchView(view)
}

/** torch has at most 64 dimensions. */
const RANK_CAP = 64

function parameter(tensor: PickleValue | undefined, fault: Fault): TorchView {
  if (tensor instanceof TorchView) return tensor
  throw fault('makes a parameter of something that is not a tensor')
}

function itemsOf(value: PickleValue, fault: Fault): readonly PickleValue[] {
  if (value instanceof PickleTuple || value instanceof PickleList) return value.items
  throw fault(`expects a list and finds ${describe(value)}`)
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** Names come from the file: quoted where they are not plain, cut where long. */
function shown(text: string): string {
  const cut = text.length > 120 ? `${text.slice(0, 120)}…` : text
  return /^[\w.]+$/.test(cut) ? cut : JSON.stringify(cut)
}
