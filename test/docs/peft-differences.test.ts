/** @file Every row of docs/peft-differences.md names a test that there is. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(fileURLToPath(new URL(path, root)), 'utf8')
const rows = [...read('docs/peft-differences.md').matchAll(/^\| (.*?) \| .* \| `([^`]+)`: (.*) \|$/gm)]

describe('docs/peft-differences.md', () => {
  it('has rows', () => expect(rows.length).toBeGreaterThan(24))

  it.each(rows.map(([, what = '', file = '', title = '']) => [what, file, title] as const))('%s', (_, file, title) => {
    // A title in the source is one text, whatever quotes it stands in.
    expect(read(file).replace(/\\'/g, "'")).toContain(title)
  })
})
