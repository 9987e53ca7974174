// Runs an example on any Node that lowrank runs on: types are taken out first where Node does not do so itself.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const [name = '', ...args] = process.argv.slice(2)
const source = join(root, 'examples', `${name.replace(/\.ts$/, '')}.ts`)
if (name === '' || !existsSync(source)) {
  const names = readdirSync(join(root, 'examples')).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -3)] : []))
  console.error(`usage: npm run example NAME [ARGUMENTS], where NAME is one of ${names.join(', ')}`)
  process.exit(2)
}
// Beside the built package, so that its own name leads to it.
const folder = join(root, 'dist', 'programs')
const program = join(folder, `${process.pid}-example.mjs`)
mkdirSync(folder, { recursive: true })
const { outputText } = ts.transpileModule(readFileSync(source, 'utf8'), {
  compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true },
})
writeFileSync(program, outputText)
const { status } = spawnSync(process.execPath, [program, ...args], { stdio: 'inherit' })
rmSync(program, { force: true })
process.exit(status ?? 1)
