/**
 * @file Between a bottleneck as it is computed here and AdapterHub's words for it: settings and tensor names.
 * Must not know files or graphs.
 */
import type { HubBottleneck } from '../formats/adapterhub.ts'
import { type Activation, isActivation } from '../models/activation.ts'
import { LowrankError } from '../support/errors.ts'
import type { BottleneckConfig, BottleneckMethod, BottleneckStart } from './bottleneck.ts'

const STARTS: Readonly<Record<BottleneckStart['kind'], string>> = {
  truncated: 'houlsby',
  normal: 'bert',
  'zero-up': 'mam_adapter',
}

/** @param hiddenSize of the base, which the size is a part of */
export function hubOfBottleneck(config: BottleneckConfig, hiddenSize: number): HubBottleneck {
  const { places, reads, activation, scaling, start, leaveOut } = config
  return {
    mh_adapter: places.includes('attention'),
    output_adapter: places.includes('feedForward'),
    reduction_factor: factorsOf(config, hiddenSize),
    non_linearity: activation,
    original_ln_before: reads === 'normed',
    is_parallel: reads === 'input',
    scaling,
    init_weights: STARTS[start.kind],
    leave_out: leaveOut,
  }
}

/**
 * @param deviation of Houlsby's start, which the format has no word for
 * @throws LowrankError `unsupported` for an activation that is not built, `config` for an adapter that sits nowhere
 */
export function bottleneckOfHub(
  hub: HubBottleneck,
  hiddenSize: number,
  deviation: number,
  file: string,
): BottleneckConfig {
  const places = [
    ...(hub.mh_adapter ? (['attention'] as const) : []),
    ...(hub.output_adapter ? (['feedForward'] as const) : []),
  ]
  if (places.length === 0)
    throw new LowrankError('config', `${file}: neither mh_adapter nor output_adapter: the adapter sits nowhere`, {
      ...{ file, field: 'output_adapter' },
    })
  return {
    ...sizesOf(hub.reduction_factor, hiddenSize),
    activation: activationOfHub(hub.non_linearity, file),
    scaling: hub.scaling,
    places,
    reads: hub.is_parallel ? 'input' : hub.original_ln_before ? 'normed' : 'output',
    start: startOf(hub.init_weights, deviation),
    leaveOut: hub.leave_out,
  }
}

/** The method whose places and readings these are; undefined where it is none of lowrank's. */
export function methodOfBottleneck({ places, reads }: BottleneckConfig): BottleneckMethod | undefined {
  if (places.length === 2) return reads === 'output' ? 'houlsby' : undefined
  if (places[0] !== 'feedForward' || reads === 'output') return undefined
  return reads === 'normed' ? 'pfeiffer' : 'parallel'
}

/** A tensor's key in an AdapterHub file, by lowrank's name for it and the adapter's. */
export function hubKey(id: string, name: string): string {
  return id.replace('.adapters.adapter_', `.adapters.${name}.adapter_`)
}

function startOf(init: string, deviation: number): BottleneckStart {
  if (init === 'houlsby') return { kind: 'truncated', deviation }
  return init === 'mam_adapter' ? { kind: 'zero-up' } : { kind: 'normal' }
}

function activationOfHub(name: string, file: string): Activation {
  const own = name === 'gelu_orig' ? 'gelu' : name
  if (isActivation(own)) return own
  throw new LowrankError('unsupported', `${file}: non_linearity ${name} is not built`, { file, field: 'non_linearity' })
}

function factorsOf({ size, sizes }: BottleneckConfig, hiddenSize: number): HubBottleneck['reduction_factor'] {
  if (!sizes) return reductionFactor(size, hiddenSize)
  const named = [...sizes].map(([layer, own]): [string, number] => [String(layer), own])
  const all = size > 0 ? [...named, ['default', size] as const] : named
  return Object.fromEntries(all.map(([layer, own]) => [layer, reductionFactor(own, hiddenSize)]))
}

function sizesOf(
  factors: HubBottleneck['reduction_factor'],
  hiddenSize: number,
): Pick<BottleneckConfig, 'size' | 'sizes'> {
  const sizeBy = (factor: number): number => Math.max(1, floorDivide(hiddenSize, factor))
  if (typeof factors === 'number') return { size: sizeBy(factors) }
  const { default: usual, ...named } = factors
  const sizes = Object.entries(named).map(([layer, factor]): [number, number] => [Number(layer), sizeBy(factor)])
  return { size: usual === undefined ? 0 : sizeBy(usual), sizes: new Map(sizes) }
}

/** Widths in words: `4`, or `4; 2 in layer 1`. */
export function describeSizes(factors: HubBottleneck['reduction_factor'], hiddenSize: number): string {
  const { size, sizes = new Map<number, number>() } = sizesOf(factors, hiddenSize)
  const named = [...sizes].map(([layer, own]) => `${own} in layer ${layer}`)
  return [...(size > 0 ? [String(size)] : []), ...named].join('; ')
}

/** A factor of which the library makes `size` again: it divides floats and rounds down. */
function reductionFactor(size: number, hiddenSize: number): number {
  const exact = hiddenSize / size
  return floorDivide(hiddenSize, exact) === size ? exact : hiddenSize / (size + 0.5)
}

/** Python's `int(a // b)`: of the exact quotient, which `Math.floor(a / b)` may round up past. */
function floorDivide(a: number, b: number): number {
  return Math.round((a - (a % b)) / b)
}
