/** @file Replacing an output folder must not take away what is read to make it. Must not know verbs. */
import { realpath } from 'node:fs/promises'
import { sep } from 'node:path'
import { LowrankError } from '../support/errors.ts'
import { pathKind } from '../support/files.ts'

/** @throws LowrankError `usage` where `output` is, or holds, one of `inputs`. Paths that are not there are no inputs. */
export async function refuseInputs(output: string, inputs: readonly string[], reader: string): Promise<void> {
  if ((await pathKind(output)) === undefined) return
  const target = await realpath(output)
  for (const input of inputs) {
    if ((await pathKind(input)) === undefined) continue
    const real = await realpath(input)
    if (real !== target && !real.startsWith(target + sep)) continue
    throw new LowrankError('usage', `the output folder ${output} holds ${input}, which the ${reader} reads`, {
      file: output,
      field: 'output',
      suggestion: 'name another output folder',
    })
  }
}
