/** @file Files and functions that fit in the head: long ones are named aloud, too long ones fail. */
import { describe, expect, it } from 'vitest'
import { FILE_LINES, FUNCTION_LINES } from './rules.ts'
import { functionsOf, read, repositoryFiles, sourceFiles } from './source.ts'

const code = repositoryFiles().filter((file) => /^(src|test|bench|examples|scripts)\/.*\.(ts|mjs)$/.test(file))

describe('sizes', () => {
  it(`keep files within ${FILE_LINES.hard} lines`, () => {
    const lengths = code.map((file) => ({ name: file, lines: read(file).split('\n').length - 1 }))
    expect(tooLong('files', lengths, FILE_LINES)).toEqual([])
  })

  it(`keep functions within ${FUNCTION_LINES.hard} lines`, () => {
    const lengths = sourceFiles().flatMap((file) =>
      functionsOf(file).map(({ name, line, lines }) => ({ name: `${file}:${line} ${name}`, lines })),
    )
    expect(tooLong('functions', lengths, FUNCTION_LINES)).toEqual([])
  })
})

/** Those above the hard limit; those above the soft one are printed. */
function tooLong(
  what: string,
  measured: readonly { name: string; lines: number }[],
  { soft, hard }: { soft: number; hard: number },
): string[] {
  const line = ({ name, lines }: { name: string; lines: number }): string => `${name}: ${lines} lines`
  const long = measured.filter(({ lines }) => lines > soft)
  if (long.length > 0) console.warn(`${what} above ${soft} lines:\n${long.map((m) => `  ${line(m)}`).join('\n')}`)
  return long.filter(({ lines }) => lines > hard).map(line)
}
