/** @file What an installed package holds: all that the program reads, nothing that only the repository needs. */
import { execFileSync } from 'node:child_process'
import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { importsOf, read, root, sourceFiles } from './source.ts'

interface Manifest {
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}
const manifest = JSON.parse(read('package.json')) as Manifest

/** Path and size of every file that `npm pack` takes. */
function packed(): { path: string; size: number }[] {
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline']
  const text = execFileSync('npm', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const [pack] = JSON.parse(text) as { files: { path: string; size: number }[] }[]
  return pack?.files ?? []
}

describe('the package', () => {
  const files = packed()
  const paths = files.map(({ path }) => path)

  it('holds what its program reads outside its code', () => {
    const named = sourceFiles().flatMap((file) =>
      [...read(file).matchAll(/new URL\(['`]([^'`$]+)['`], import\.meta\.url\)/g)].map(([, target = '']) =>
        posix.join(posix.dirname(file.replace(/^src/, 'dist')), target.replace(/\.ts$/, '.js')),
      ),
    )
    expect(named.length).toBeGreaterThan(2)
    expect(named.filter((target) => !paths.includes(target))).toEqual([])
  })

  it('holds its command line, its types and the embedded base, in two megabytes', () => {
    expect(paths).toEqual(
      expect.arrayContaining(['dist/cli/bin.js', 'dist/index.js', 'dist/index.d.ts', 'README.md', 'LICENSE']),
    )
    const base = files.filter(({ path }) => path.startsWith('lowrank-tiny/'))
    expect(base.map(({ path }) => path)).toEqual(
      expect.arrayContaining(
        ['config.json', 'model.safetensors', 'tokenizer.json'].map((name) => `lowrank-tiny/${name}`),
      ),
    )
    expect(base.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(2 * 1024 * 1024)
  })

  it('leaves the repository at home', () => {
    expect(
      paths.filter((path) => !/^(dist\/|lowrank-tiny\/|bench\/peers\/|package\.json$|README\.md$|LICENSE$)/.test(path)),
    ).toEqual([])
    expect(paths.filter((path) => /\.test\.|tsbuildinfo|^dist\/programs/.test(path))).toEqual([])
  })

  it('depends on exactly what its code imports, in exact versions', () => {
    const imported = sourceFiles()
      .flatMap(importsOf)
      .filter(({ ours, to }) => !ours && !isBuiltin(to))
      .map(({ to }) =>
        to
          .split('/')
          .slice(0, to.startsWith('@') ? 2 : 1)
          .join('/'),
      )
    expect(Object.keys(manifest.dependencies).sort()).toEqual([...new Set(imported)].sort())
    const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies })
    expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
    expect(read('CHANGELOG.md')).toContain(`## ${manifest.version}`)
  })
})
