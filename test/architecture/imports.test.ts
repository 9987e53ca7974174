/** @file The arrows: folders import only folders before them, no cycles, each library and the terminal in one place. */
import { existsSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { BLIND, HOMES, ORDER, TERMINAL } from './rules.ts'
import { folderOf, type Import, importsOf, root, sourceFiles, usesOf } from './source.ts'

const files = sourceFiles()
const imports = files.flatMap(importsOf)
const place = new Map<string, number>(ORDER.map((folder, i) => [folder, i]))
const shown = ({ from, line, to }: Import): string => `${from}:${line} imports ${to}`

describe('imports', () => {
  it('knows every folder of src', () => {
    expect([...new Set(files.map(folderOf))].filter((folder) => !place.has(folder))).toEqual([])
  })

  it('point from later folders to earlier ones', () => {
    const backwards = imports.filter(
      ({ from, to, ours }) => ours && (place.get(folderOf(to)) ?? ORDER.length) > (place.get(folderOf(from)) ?? -1),
    )
    expect(backwards.map(shown)).toEqual([])
  })

  it('leave out what a folder must not know', () => {
    const seeing = imports.filter(({ from, to, ours }) => ours && BLIND[folderOf(from)]?.includes(folderOf(to)))
    expect(seeing.map(shown)).toEqual([])
  })

  it('lead to files that exist, with their endings', () => {
    expect(imports.filter(({ to, ours }) => ours && !existsSync(join(root, to))).map(shown)).toEqual([])
  })

  it('form no cycle, types included', () => {
    expect(cycles(imports)).toEqual([])
  })

  it('take each library in one folder', () => {
    const strayed = imports.filter(({ from, to, ours }) => {
      if (ours || isBuiltin(to)) return false
      const homes = Object.entries(HOMES).find(([prefix]) => to.startsWith(prefix))?.[1] ?? []
      return !homes.includes(folderOf(from))
    })
    expect(strayed.map(shown)).toEqual([])
  })

  it('reach the terminal only from the command line', () => {
    const elsewhere = files.filter((file) => folderOf(file) !== 'cli')
    expect(
      elsewhere.flatMap((file) => usesOf(file, TERMINAL).map(({ name, line }) => `${file}:${line} uses ${name}`)),
    ).toEqual([])
  })
})

describe('the check itself', () => {
  it('finds a cycle and its way round', () => {
    const edge = (from: string, to: string): Import => ({ from, to, ours: true, line: 1, typeOnly: false })
    expect(cycles([edge('a', 'b'), edge('b', 'c'), edge('c', 'a'), edge('d', 'a')])).toEqual(['a → b → c → a'])
  })

  it('sees this file use the terminal of its text only', () => {
    expect(usesOf('test/setup/closing-line.ts', TERMINAL).map(({ name }) => name)).toEqual(['process.stdout'])
  })
})

/** One line for each import that closes a circle, found by walking depth first. */
function cycles(edges: readonly Import[]): string[] {
  const next = new Map<string, string[]>()
  for (const { from, to, ours } of edges) if (ours) next.set(from, [...(next.get(from) ?? []), to])
  const [done, path, found] = [new Set<string>(), [] as string[], [] as string[]]
  const walk = (file: string): void => {
    if (path.includes(file)) {
      found.push([...path.slice(path.indexOf(file)), file].join(' → '))
      return
    }
    if (done.has(file)) return
    path.push(file)
    for (const to of next.get(file) ?? []) walk(to)
    path.pop()
    done.add(file)
  }
  for (const file of next.keys()) walk(file)
  return found
}
