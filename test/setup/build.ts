/** @file Compiles dist/ once before the tests: workers and the command line are tested as they ship. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export default function setup(): void {
  if (process.env.LOWRANK_SKIP_BUILD === '1') return
  execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/build.mjs', import.meta.url))], {
    stdio: 'inherit',
  })
}
