/** @file Adapter configs with unknown, missing and null fields: read where PEFT reads them, and as what PEFT reads. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { loraConfig, parsePeftLoraConfig } from '../../src/formats/peft-config.ts'

interface Case {
  readonly name: string
  readonly set: Readonly<Record<string, unknown>>
  readonly drop: readonly string[]
  readonly start: 'full' | 'old'
  readonly reads: boolean
  /** Whether PEFT's logits are those of the config as saved. */
  readonly usual?: boolean
  readonly ignored?: readonly string[]
}
type Config = Readonly<Record<string, unknown>>

/** Made by PEFT: scripts/goldens/adapter_configs.py. */
const golden = JSON.parse(readFileSync(new URL('../goldens/peft/configs.json', import.meta.url), 'utf8')) as {
  readonly full: Config
  readonly old: Config
  readonly cases: readonly Case[]
}

/** Fields that say nothing about what is computed. */
const SILENT = new Set([
  ...['peft_version', 'base_model_name_or_path', 'task_type', 'inference_mode', 'auto_mapping', 'revision'],
  ...['init_lora_weights', 'megatron_core', 'qalora_group_size', 'target_modules'],
])
const computes = (config: object): object =>
  Object.fromEntries(Object.entries(config).filter(([field]) => !SILENT.has(field)))

describe('adapter configs as PEFT reads them', () => {
  it('has a case for each field that PEFT saves, null and missing', () => {
    expect(golden.cases.length).toBeGreaterThan(2 * (Object.keys(golden.full).length - 1))
  })

  it.each(golden.cases)('$name', ({ set, drop, start, reads, usual, ignored }) => {
    const changed = Object.entries({ ...golden[start], ...set }).filter(([field]) => !drop.includes(field))
    const read = (): ReturnType<typeof parsePeftLoraConfig> =>
      parsePeftLoraConfig(Object.fromEntries(changed), 'adapter_config.json')
    if (!reads) {
      const field = [...Object.keys(set), ...drop][0]
      return expect(read).toThrow(expect.objectContaining({ name: 'LowrankError', file: 'adapter_config.json', field }))
    }
    const { config, ignored: left, warnings } = read()
    expect([...left].sort()).toEqual(ignored ?? [])
    // One notice for all of them, each named.
    expect(warnings).toHaveLength(ignored ? 1 : 0)
    for (const name of ignored ?? []) expect(warnings[0]).toContain(name)
    // PEFT computes the usual logits for each of them, so what decides them must be the usual.
    expect(usual).toBe(true)
    expect(computes(config)).toEqual(computes(loraConfig()))
  })

  it('still refuses what is not supported where it is set', () => {
    for (const set of [
      { kasa_config: { beta: 1 } },
      { use_qalora: true },
      { velora_config: {}, arrow_config: { k: 1 } },
    ])
      expect(() => parsePeftLoraConfig({ ...golden.full, ...set }, 'a.json')).toThrow(
        expect.objectContaining({ code: 'unsupported' }),
      )
  })
})
