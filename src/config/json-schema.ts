/** @file JSON Schema (2020-12) of a verb's run file, in both spellings of each option. Must not know who reads it. */
import { z } from 'zod'
import { kebab } from './option.ts'
import type { VerbSpec } from './verb.ts'

/** What `lowrank schema` prints: editors complete and check a run file with it. */
export function runFileSchema(spec: VerbSpec): Record<string, unknown> {
  const { properties, ...rest } = z.toJSONSchema(spec.schema, { io: 'input', target: 'draft-2020-12' })
  const kebabs: Record<string, unknown> = {}
  const camels: Record<string, unknown> = {}
  for (const [name, property] of Object.entries(properties ?? {})) {
    kebabs[kebab(name)] = property
    // The camelCase spelling is accepted too; pointing to the other keeps the file half as long.
    if (kebab(name) !== name) camels[name] = { $ref: `#/properties/${kebab(name)}` }
  }
  return {
    $schema: rest.$schema,
    title: `lowrank ${spec.name}`,
    description: spec.summary,
    type: 'object',
    properties: { ...kebabs, ...camels },
    additionalProperties: false,
  }
}
