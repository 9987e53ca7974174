/** @file No file speaks of the machine it was written on: a clone must mean the same anywhere. */
import { describe, expect, it } from 'vitest'
import { read, repositoryFiles } from './source.ts'

// Spelt in halves, so that this file is not its own first find.
const FOREIGN = ['/wo' + 'rk/', '/tm' + 'p/lab', '/op' + 't/peer', '/ro' + 'ot/', '/ho' + 'me/', '.lib' + 'rary/']
const BESIDE = '..' + '/shared'
/** The one file that knows where material beside the repository may lie. */
const BESIDE_HOME = 'test/setup/shared.ts'
const BINARY = /\.(safetensors|png|bin|parquet)$/

const texts = repositoryFiles()
  .filter((file) => !BINARY.test(file))
  .map((file) => ({ file, lines: read(file).split('\n') }))

function linesWith(word: string): string[] {
  return texts.flatMap(({ file, lines }) =>
    lines.flatMap((line, i) => (line.includes(word) ? [`${file}:${i + 1} ${line.trim().slice(0, 80)}`] : [])),
  )
}

describe('the repository', () => {
  it.each(FOREIGN)('does not name the machine path %s', (path) => {
    expect(linesWith(path)).toEqual([])
  })

  it('finds what lies beside it in one place', () => {
    expect(linesWith(BESIDE).filter((line) => !line.startsWith(BESIDE_HOME))).toEqual([])
  })

  it('leaves no work for later in comments', () => {
    const markers = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`)
    const left = texts.flatMap(({ file, lines }) =>
      lines.flatMap((line, i) => (markers.test(line) ? [`${file}:${i + 1}`] : [])),
    )
    expect(left).toEqual([])
  })

  it('heads every source file with what it is', () => {
    const headless = texts.filter(
      ({ file, lines }) =>
        /^src\/.*\.ts$/.test(file) && !file.endsWith('.test.ts') && !/^\/\*\*( @file|$)|^#!/.test(lines[0] ?? ''),
    )
    expect(headless.map(({ file }) => file)).toEqual([])
  })
})
