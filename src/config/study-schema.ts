/** @file JSON Schema of a study's file: base, grid and settings hold train's own options. Must not know who reads it. */
import { runFileSchema } from './json-schema.ts'
import { studyVerb } from './verbs/study.ts'
import { trainVerb } from './verbs/train.ts'

type Schema = Record<string, unknown>

const DEFINITION = '#/$defs/train/properties/'

/** As `runFileSchema` of study, with what its maps may hold. */
export function studyFileSchema(): Schema {
  const schema = runFileSchema(studyVerb)
  const own = propertiesOf(schema)
  const words = propertiesOf(runFileSchema(trainVerb))
  const refs = Object.fromEntries(Object.keys(words).map((word) => [word, { $ref: DEFINITION + word }]))
  const lists = Object.fromEntries(
    Object.entries(refs).map(([word, ref]) => [word, { type: 'array', minItems: 1, items: ref }]),
  )
  const map = (name: string, properties: Schema, more: Schema = {}): Schema => ({
    ...{ description: own[name]?.description, type: 'object', properties, additionalProperties: false },
    ...more,
  })
  const setting = map('', { name: { type: 'string', minLength: 1 }, ...refs }, { required: ['name'] })
  return {
    ...schema,
    properties: {
      ...own,
      base: map('base', refs),
      grid: map('grid', lists, { minProperties: 1 }),
      settings: { description: own.settings?.description, type: 'array', minItems: 1, items: setting },
    },
    $defs: { train: { properties: rooted(words) } },
  }
}

function propertiesOf({ properties }: Schema): Record<string, Schema> {
  return properties as Record<string, Schema>
}

/** The camelCase words point to the others, which stand elsewhere here. */
function rooted(words: Record<string, Schema>): Record<string, Schema> {
  return Object.fromEntries(
    Object.entries(words).map(([word, schema]) => [
      word,
      typeof schema.$ref === 'string' ? { $ref: schema.$ref.replace('#/properties/', DEFINITION) } : schema,
    ]),
  )
}
