/** @file Sums up the tensors of a file or folder. Must not know what kind of thing they belong to. */

import type { ListedDType } from '../../formats/safetensors.ts'
import type { DType } from '../../tensor/dtype.ts'
import type { InspectResult, TensorGroup } from '../types.ts'

export interface Listed {
  name: string
  dtype: DType | ListedDType
  shape: readonly number[]
  bytes: number
}

type Summary = Pick<InspectResult, 'parameters' | 'tensors' | 'dtype' | 'dtypes' | 'bytes' | 'groups'>

/** Counts parameters by dtype and groups tensors whose names differ only in numbers. */
export function summarize(tensors: readonly Listed[]): Summary {
  const byType = new Map<string, number>()
  let bytes = 0
  for (const tensor of tensors) {
    bytes += tensor.bytes
    // Masks and position tables are buffers, not parameters.
    if (isFloat(tensor.dtype)) byType.set(tensor.dtype, (byType.get(tensor.dtype) ?? 0) + elements(tensor.shape))
  }
  const types = [...byType].sort((a, b) => b[1] - a[1])
  const parameters = types.reduce((sum, [, n]) => sum + n, 0)
  const dtype = types[0]?.[0] ?? tensors[0]?.dtype ?? 'none'
  const summary = { parameters, tensors: tensors.length, dtype, bytes, groups: groupsOf(tensors) }
  return types.length > 1 ? { ...summary, dtypes: Object.fromEntries(types) } : summary
}

function groupsOf(tensors: readonly Listed[]): TensorGroup[] {
  const groups = new Map<string, TensorGroup>()
  for (const { name, dtype, shape } of tensors) {
    const pattern = name.replace(/(^|\.)\d+(?=\.|$)/g, '$1*')
    const key = `${pattern} ${dtype}`
    const group = groups.get(key)
    if (group === undefined)
      groups.set(key, { pattern, count: 1, dtype, shape: [...shape], parameters: elements(shape) })
    else {
      group.count++
      group.parameters += elements(shape)
      if (group.shape.join() !== shape.join()) group.varied = true
    }
  }
  return [...groups.values()].sort((a, b) => b.parameters - a.parameters || (a.pattern < b.pattern ? -1 : 1))
}

function isFloat(dtype: string): boolean {
  return /^(f|bf)\d/.test(dtype)
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1)
}
