/** @file A text that is given on stdin: `--text -`. Must not know verbs. */
import { text } from 'node:stream/consumers'

/** What stands on stdin in place of a text that is `-`, its last line end taken off. */
export async function fromStdin(options: { text?: string | undefined }): Promise<{ text?: string }> {
  if (options.text !== '-') return {}
  return { text: (await text(process.stdin)).replace(/\r?\n$/, '') }
}
