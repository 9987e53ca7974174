/** @file `lowrank schema` at a terminal. Must not know JSON Schema. */
import { runFileSchema } from '../../config/json-schema.ts'
import { resolveOptions } from '../../config/resolve.ts'
import { studyFileSchema } from '../../config/study-schema.ts'
import { type InputOf, verbs } from '../../config/verbs/index.ts'
import type { Face } from '../face.ts'

export async function schemaFace(options: InputOf<'schema'>, face: Face): Promise<undefined> {
  const { verb } = resolveOptions('schema', options)
  const schema = verb === 'study' ? studyFileSchema() : runFileSchema(verbs[verb])
  face.terminal.write(`${JSON.stringify(schema, null, face.json ? undefined : 2)}\n`)
}
