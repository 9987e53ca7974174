/** @file All methods by `peft_type`. A new method is its file and one name here. */
import { LowrankError } from '../../support/errors.ts'
import type { Method } from '../method.ts'
import { lora } from './lora.ts'

const methods: readonly Method[] = [lora]

/** The method of an adapter config, LoRA where it names none. @throws LowrankError `unsupported` naming those there are. */
export function methodOf(type = lora.type): Method {
  const found = methods.find((method) => method.type === type)
  if (found) return found
  const known = methods.map((method) => method.type).join(', ')
  throw new LowrankError('unsupported', `peft_type is ${type}; lowrank builds ${known}`, { field: 'peft_type' })
}
