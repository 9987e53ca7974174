/** @file Kernels that read and add rows by index, and the dropout mask. Must not know other kernels. */
import { LowrankError } from '../../support/errors.ts'
import { dropLimit, mix32 } from '../../support/random.ts'
import { sizeOf } from '../../tensor/host-tensor.ts'
import { type Kernel, operand } from './kernel.ts'

/** @throws LowrankError 'engine' naming the first id outside `rows`. */
function checkIds(ids: Float64Array, rows: number, where: string): void {
  const bad = ids.findIndex((id) => !(id >= 0 && id < rows))
  if (bad >= 0) throw new LowrankError('engine', `${where}: id ${ids[bad]} at place ${bad} is outside 0…${rows - 1}`)
}

export const gather: Kernel<'gather'> = (call) => {
  const [table, ids] = [operand(call, 0), operand(call, 1)]
  checkIds(ids.data, table.shape[0] ?? 0, call.where)
  const width = sizeOf(table.shape.slice(1))
  const out = new Float64Array(ids.data.length * width)
  ids.data.forEach((id, i) => {
    out.set(table.data.subarray(id * width, (id + 1) * width), i * width)
  })
  return out
}

export const scatterAdd: Kernel<'scatterAdd'> = (call) => {
  const [ids, updates] = [operand(call, 0), operand(call, 1)]
  checkIds(ids.data, call.shape[0] ?? 0, call.where)
  const width = sizeOf(call.shape.slice(1))
  const out = new Float64Array(sizeOf(call.shape))
  ids.data.forEach((id, i) => {
    for (let j = 0; j < width; j++)
      out[id * width + j] = (out[id * width + j] ?? 0) + (updates.data[i * width + j] ?? 0)
  })
  return out
}

export const takeLast: Kernel<'takeLast'> = (call) => {
  const [x, ids] = [operand(call, 0), operand(call, 1)]
  const width = x.shape.at(-1) ?? 0
  checkIds(ids.data, width, call.where)
  return ids.data.map((id, i) => x.data[i * width + id] ?? 0)
}

export const oneHot: Kernel<'oneHot'> = (call) => {
  const { depth } = call.params
  const ids = operand(call, 0).data
  checkIds(ids, depth, call.where)
  const out = new Float64Array(ids.length * depth)
  ids.forEach((id, i) => {
    out[i * depth + id] = 1
  })
  return out
}

export const dropoutMask: Kernel<'dropoutMask'> = (call) => {
  const { site, rate, before, trailing } = call.params
  const keys = operand(call, 0)
  const own = Uint32Array.from(keys.data, (key) => mix32((key ^ site) >>> 0))
  const led = before.reduce((hashes, dim) => spread(hashes, keys.shape.at(-1) ?? 1, call.extent(dim)), own)
  const hashes = trailing.reduce((all, dim) => spread(all, 1, call.extent(dim)), led)
  const limit = dropLimit(rate)
  return Float64Array.from(hashes, (h) => (h >>> 1 >= limit ? 1 / (1 - rate) : 0))
}

/** Hashes `[…, inner]` along one more axis: `[…, extent, inner]`. */
function spread(hashes: Uint32Array<ArrayBuffer>, inner: number, extent: number): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(hashes.length * extent)
  hashes.forEach((h, at) => {
    const [row, i] = [Math.floor(at / inner), at % inner]
    for (let j = 0; j < extent; j++)
      out[(row * extent + j) * inner + i] = mix32((h + Math.imul(j + 1, 0x9e3779b9)) >>> 0)
  })
  return out
}
