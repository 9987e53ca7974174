/** @file The README's promises that a test can keep: its first block, its library example, and that its commands exist. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { kebab } from '../../src/config/option.ts'
import { verbs } from '../../src/config/verbs/index.ts'
import { repositoryRoot, typeErrors } from '../setup/doc-example.ts'
import { runAsPackageUser } from '../setup/package-user.ts'
import { writeRows } from '../setup/tiny-model.ts'

const read = (file: string): string => readFileSync(join(repositoryRoot, file), 'utf8')
const readme = read('README.md')
const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, body = '']) => body)

describe('README.md', () => {
  it('begins with two commands, each working on its own in a fresh clone', () => {
    const lines = blocks(readme, 'sh')[0]?.trimEnd().split('\n') ?? []
    expect(lines.length).toBe(2)
    expect(lines[0]).toMatch(/^npm ci && npx lowrank quickstart/)
    expect(lines[1]).toMatch(/^npm ci && npm test/)
  })

  describe('library example', () => {
    const [example = ''] = blocks(readme, 'ts')
    const folder = mkdtempSync(join(tmpdir(), 'lowrank-readme-'))
    const source = join('dist', 'programs', `readme-${process.pid}.ts`)
    afterAll(() => {
      rmSync(folder, { recursive: true, force: true })
      rmSync(join(repositoryRoot, source), { force: true })
    })

    it('has ten lines at the most, and types that need no help', () => {
      expect(example.trimEnd().split('\n').length).toBeLessThanOrEqual(10)
      mkdirSync(join(repositoryRoot, 'dist', 'programs'), { recursive: true })
      writeFileSync(join(repositoryRoot, source), example)
      expect(typeErrors(repositoryRoot, source)).toEqual([])
    })

    it('trains and answers', async () => {
      const rows = ['red', 'green', 'blue'].map((c) => ({
        prompt: `two ${c} hats`,
        completion: ` {"hats":2,"colour":"${c}"}`,
      }))
      writeRows(join(folder, 'rows.jsonl'), rows)
      const said = await runAsPackageUser(example, { name: 'readme.ts', cwd: folder })
      const lines = said.trimEnd().split('\n')
      expect(lines[0]).toMatch(/^1 \d/)
      expect(lines.length).toBeGreaterThanOrEqual(4)
    })
  })
})

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(repositoryRoot, 'docs'))
    .filter((f) => f.endsWith('.md'))
    .map((f) => `docs/${f}`),
]
const options = new Map<string, string[]>(
  Object.values(verbs).map((verb) => [verb.name, Object.keys(verb.options).map(kebab)]),
)

describe.each(documents)('commands in %s', (document) => {
  it('name verbs and flags that exist', () => {
    const commands = blocks(read(document), 'sh')
      .flatMap((block) => block.split('\n'))
      .flatMap((line) => /\blowrank (.+)$/.exec(line)?.[1] ?? [])
    const wrong = commands.filter((command) => {
      const [verb = '', ...words] = command.split(/\s+/)
      const flags = words.filter((word) => word.startsWith('--')).map((word) => word.slice(2).split('=')[0] ?? '')
      const known = options.get(verb)
      return !known || flags.some((flag) => ![...known, 'json', 'help', 'config'].includes(flag.replace(/^no-/, '')))
    })
    expect(wrong).toEqual([])
  })
})
