/** @file Reads the repository as the architecture tests see it: tracked and new files, their imports, functions and globals. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** Files of the repository, relative to its root: what git tracks or would track; without git, what stands there. */
export function repositoryFiles(): string[] {
  const listed = gitFiles() ?? walk('')
  return [...new Set(listed)].filter((file) => file !== '' && existsSync(join(root, file)))
}

/** Undefined where this is no checkout, git is missing, or it does not trust the folder's owner. */
function gitFiles(): string[] | undefined {
  try {
    const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z']
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\0')
  } catch {
    return undefined
  }
}

const NOT_OURS = new Set(['.git', 'node_modules', 'dist', 'runs', 'coverage'])

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name)
    if (NOT_OURS.has(entry.name)) return []
    return entry.isDirectory() ? walk(path) : [path]
  })
}

export function read(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

/** TypeScript files below `src/`; tests among them only when asked for. */
export function sourceFiles({ tests = false } = {}): string[] {
  const files = repositoryFiles().filter((file) => file.startsWith('src/') && file.endsWith('.ts'))
  return files.filter((file) => tests || !file.endsWith('.test.ts'))
}

export function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2023, true)
}

export interface Import {
  readonly from: string
  /** Path relative to the root for files of ours; the specifier as it stands for packages. */
  readonly to: string
  readonly ours: boolean
  readonly line: number
  /** Erased by the compiler: such an import is a dependency for the reader, not for the running program. */
  readonly typeOnly: boolean
}

/** Every static, dynamic and type import of a file, re-exports included. */
export function importsOf(file: string): Import[] {
  const source = parse(file)
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, typeOnly: boolean): void => {
    if (!specifier || !ts.isStringLiteralLike(specifier)) return
    const ours = specifier.text.startsWith('.')
    const to = ours ? posix.join(dirname(file), specifier.text) : specifier.text
    found.push({ from: file, to, ours, typeOnly, line: lineOf(source, specifier) })
  }
  visit(source, (node) => {
    if (ts.isImportDeclaration(node))
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword)
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false)
  })
  return found
}

/** Folder of a source file that the order of the architecture speaks of: `engines/reference` is one of its own. */
export function folderOf(file: string): string {
  const [, first = '', second = ''] = file.split('/')
  if (first.endsWith('.ts')) return first
  return first === 'engines' ? `${first}/${second}` : first
}

export interface SizedFunction {
  readonly file: string
  readonly name: string
  readonly line: number
  readonly lines: number
}

/** Functions with a body. Their lines are their own: those of a function nested in one count for the nested one. */
export function functionsOf(file: string): SizedFunction[] {
  const source = parse(file)
  const found: SizedFunction[] = []
  /** Adds the functions below a node; returns the lines they take, the outermost alone. */
  const measure = (node: ts.Node): number => {
    let nested = 0
    ts.forEachChild(node, (child) => {
      nested += measure(child)
    })
    if (!ts.isFunctionLike(node) || !('body' in node) || !node.body) return nested
    const line = lineOf(source, node)
    const span = source.getLineAndCharacterOfPosition(node.end).line + 2 - line
    found.push({ file, name: nameOf(node), line, lines: span - nested })
    return span
  }
  measure(source)
  return found
}

/** Lines on which an expression such as `process.stdout` or `console` stands. */
export function usesOf(file: string, names: readonly string[]): { name: string; line: number }[] {
  const source = parse(file)
  const found: { name: string; line: number }[] = []
  visit(source, (node) => {
    const member = ts.isPropertyAccessExpression(node)
    const isName = ts.isIdentifier(node) && !(ts.isPropertyAccessExpression(node.parent) && node.parent.name === node)
    if (!member && !isName) return
    const text = node.getText(source)
    if (names.includes(text)) found.push({ name: text, line: lineOf(source, node) })
  })
  return found
}

function nameOf(node: ts.Node): string {
  if ('name' in node && node.name) return (node.name as ts.Node).getText()
  const parent = node.parent
  return ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) ? parent.name.getText() : '(anonymous)'
}

function visit(node: ts.Node, use: (node: ts.Node) => void): void {
  use(node)
  ts.forEachChild(node, (child) => visit(child, use))
}

function lineOf(source: ts.SourceFile, node: ts.Node): number {
  return source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1
}
