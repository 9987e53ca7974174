// Compiles src/ to dist/. Runs on `npm ci` (prepare), so that a clone has a working command line.
// Without the compiler (an install that left dev dependencies out) a dist/ that is already there is kept.
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)
let tsc
try {
  tsc = require.resolve('typescript/bin/tsc')
} catch {
  if (existsSync(join(root, 'dist/cli/bin.js'))) process.exit(0)
  console.error('lowrank: cannot build dist/: typescript is not installed. Run `npm ci` with dev dependencies.')
  process.exit(1)
}
execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit', cwd: root })
const bin = join(root, 'dist/cli/bin.js')
if (existsSync(bin)) chmodSync(bin, 0o755)
