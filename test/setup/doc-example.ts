/**
 * Proves a guide by following it: copies the source, applies the guide's code blocks to the copy, type-checks it.
 * A block whose info string is `ts <path>` is a new file; one of ```` ```diff <path> ```` changes lines of an old one.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url))

export interface DocBlock {
  readonly kind: 'ts' | 'diff'
  readonly path: string
  readonly text: string
}

/** The blocks of a guide that name a file, in order. */
export function blocksOf(guide: string): DocBlock[] {
  const text = readFileSync(join(repositoryRoot, guide), 'utf8')
  return [...text.matchAll(/^```(ts|diff) (\S+)\n([\s\S]*?)^```$/gm)].map(([, kind, path = '', body = '']) => ({
    kind: kind === 'diff' ? 'diff' : 'ts',
    path,
    text: body,
  }))
}

/** A copy of `src/` in a temporary folder with `blocks` applied; answers the folder. The caller removes it. */
export function follow(blocks: readonly DocBlock[]): string {
  const root = mkdtempSync(join(tmpdir(), 'lowrank-guide-'))
  cpSync(join(repositoryRoot, 'src'), join(root, 'src'), {
    recursive: true,
    filter: (path) => !path.endsWith('.test.ts'),
  })
  for (const name of ['package.json', 'tsconfig.json']) cpSync(join(repositoryRoot, name), join(root, name))
  symlinkSync(join(repositoryRoot, 'node_modules'), join(root, 'node_modules'))
  for (const { kind, path, text } of blocks) {
    const file = join(root, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, kind === 'ts' ? text : changed(readFileSync(file, 'utf8'), text, path))
  }
  return root
}

/** Lines with `-` go, lines with `+` come, the others must stand there together exactly once. */
function changed(old: string, diff: string, path: string): string {
  const lines = diff.trimEnd().split('\n')
  const side = (mark: string): string =>
    lines
      .filter((line) => !line.startsWith(mark))
      .map((line) => `${line.slice(1)}\n`)
      .join('')
  const [before, after] = [side('+'), side('-')]
  if (old.split(before).length !== 2) throw new Error(`the guide's lines do not stand in ${path} once:\n${before}`)
  return old.replace(before, () => after)
}

/** Messages of the type checker over one file of `root` and all that it imports. */
export function typeErrors(root: string, entry: string): string[] {
  const config = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root)
  const program = ts.createProgram([join(root, entry)], options)
  return ts
    .getPreEmitDiagnostics(program)
    .map((d) => `${d.file?.fileName.slice(root.length + 1)}: ${ts.flattenDiagnosticMessageText(d.messageText, ' ')}`)
}
