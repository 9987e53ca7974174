/** @file Documents name what exists: folders, files, links, verbs. */
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ORDER } from './rules.ts'
import { folderOf, read, repositoryFiles, root, sourceFiles } from './source.ts'

const documents = repositoryFiles().filter((file) => /^([A-Z]+\.md|docs\/[^/]+\.md)$/.test(file))

describe('ARCHITECTURE.md', () => {
  const text = read('ARCHITECTURE.md')

  it.each([...new Set(sourceFiles().map(folderOf))])('names %s', (folder) => {
    expect(text).toContain(folder.endsWith('.ts') ? `\`src/${folder}\`` : `\`${folder}/\``)
  })

  it('lists the folders in the order that the imports keep', () => {
    const places = ORDER.filter((folder) => !folder.endsWith('.ts')).map((folder) => text.indexOf(`| \`${folder}/\``))
    expect(places.filter((at) => at < 0)).toEqual([])
    expect(places).toEqual([...places].sort((a, b) => a - b))
  })

  it('stays short enough to be read', () => {
    expect(text.split('\n').length).toBeLessThanOrEqual(250)
  })
})

describe.each(documents)('%s', (document) => {
  const text = read(document)

  it('names only paths that exist', () => {
    expect(pathsIn(text).filter((path) => !exists(path))).toEqual([])
  })

  it('links only to files that exist', () => {
    const links = [...proseOf(text).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target)
    const local = links.filter((target) => !/^[a-z]+:/.test(target))
    expect(local.filter((target) => !existsSync(join(root, dirname(document), target)))).toEqual([])
  })
})

describe('comments', () => {
  it('name only source files that exist', () => {
    const named = sourceFiles({ tests: true }).flatMap((file) =>
      read(file)
        .split('\n')
        .flatMap((line, i) => {
          const paths = /^\s*(\/\/|\/?\*)/.test(line)
            ? [...line.matchAll(/(?<![\w/.])((?:[\w-]+\/)+[\w-]+\.ts)\b/g)]
            : []
          return paths.map(([, path = '']) => ({ place: `${file}:${i + 1} ${path}`, path, folder: dirname(file) }))
        }),
    )
    const lost = named.filter(({ path, folder }) => !exists(path) && !existsSync(join(root, folder, path)))
    expect(lost.map(({ place }) => place)).toEqual([])
  })
})

/** Code spans that are paths of the repository: a known top folder first, or a source file by its folder. */
function pathsIn(text: string): string[] {
  const tops = ['src', 'test', 'docs', 'scripts', 'bench', 'examples', ...ORDER.map((folder) => folder.split('/')[0])]
  return [...proseOf(text).matchAll(/`([\w.@-]+(?:\/[\w.@*-]*)+)`/g)]
    .map(([, path = '']) => path)
    .filter((path) => !path.includes('*') && tops.includes(path.split('/')[0] ?? ''))
}

/** Text without its blocks of code. */
function proseOf(text: string): string {
  return text.replace(/^```[\s\S]*?^```/gm, '')
}

function exists(path: string): boolean {
  return [path, join('src', path)].some((candidate) => existsSync(join(root, normalize(candidate))))
}
