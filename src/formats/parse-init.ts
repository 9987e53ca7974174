/** @file Reads `init_lora_weights` and the settings that go with it, refusing by name. Must not know the other fields. */
import { isRecord } from '../support/json.ts'
import { nearest } from '../support/nearest.ts'
import {
  EVA_DEFAULTS,
  type EvaConfig,
  INIT_NAMES,
  type InitName,
  isInitName,
  type LoftqConfig,
  REFUSED_INITS,
} from './lora-init.ts'

type Fail = (problem: string, suggestion?: string) => never

export function initName(value: unknown, fail: Fail): boolean | InitName {
  if (typeof value === 'boolean' || isInitName(value)) return value
  const known = INIT_NAMES.map((name) => (name === 'pissa_niter_4' ? 'pissa_niter_N' : name))
  const expected = `expected true, false, ${known.join(', ')}`
  if (typeof value !== 'string') return fail(expected)
  const reason = REFUSED_INITS[value]
  if (reason !== undefined) return fail(`which lowrank does not support (${reason}); ${expected}`)
  const [near] = nearest(value, INIT_NAMES)
  return fail(expected, near && `did you mean ${near}?`)
}

/** @returns every field, PEFT's defaults filled in */
export function evaConfig(value: unknown, fail: Fail): EvaConfig {
  if (!isRecord(value)) return fail('expected an object')
  refuseUnknown(value, Object.keys(EVA_DEFAULTS), fail)
  const number = (field: 'rho' | 'tau' | 'label_mask_value', fits: (x: number) => boolean, what: string): number => {
    const given = value[field] ?? EVA_DEFAULTS[field]
    return typeof given === 'number' && fits(given) ? given : fail(`expected ${field} to be ${what}`)
  }
  const flag = (field: 'use_label_mask' | 'whiten' | 'adjust_scaling_factors'): boolean => {
    const given = value[field] ?? EVA_DEFAULTS[field]
    return typeof given === 'boolean' ? given : fail(`expected ${field} to be true or false`)
  }
  return {
    rho: number('rho', (x) => x >= 1, 'at least 1'),
    tau: number('tau', (x) => x >= 0 && x <= 1, 'from 0 to 1'),
    use_label_mask: flag('use_label_mask'),
    label_mask_value: number('label_mask_value', (x) => x === -100, '-100, the label that means no loss here'),
    whiten: flag('whiten'),
    adjust_scaling_factors: flag('adjust_scaling_factors'),
  }
}

export function loftqConfig(value: unknown, fail: Fail): LoftqConfig {
  if (!isRecord(value)) return fail('expected an object')
  refuseUnknown(value, ['loftq_bits', 'loftq_iter'], fail)
  const { loftq_bits: bits = 4, loftq_iter: iterations = 1 } = value
  if (Object.keys(value).length === 0) return {}
  if (bits !== 4)
    return fail(`expected loftq_bits 4: lowrank emulates NF4 and no other type, so not ${JSON.stringify(bits)}`)
  if (typeof iterations !== 'number' || !Number.isInteger(iterations) || iterations < 1 || iterations > 100)
    return fail('expected loftq_iter to be a whole number from 1 to 100')
  return { loftq_bits: bits, loftq_iter: iterations }
}

function refuseUnknown(value: Record<string, unknown>, known: readonly string[], fail: Fail): void {
  const unknown = Object.keys(value).find((key) => !known.includes(key))
  if (unknown === undefined) return
  const [near] = nearest(unknown, known)
  fail(`expected ${known.join(', ')}, not ${unknown}`, near && `did you mean ${near}?`)
}
