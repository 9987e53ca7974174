/** @file A Python with the packages a test compares with, where there is one: LOWRANK_PYTHON, else python3. */
import { execFileSync } from 'node:child_process'

/** Its command, or undefined: the tests that need it then skip. */
export function pythonWith(...modules: readonly string[]): string | undefined {
  const python = process.env.LOWRANK_PYTHON ?? 'python3'
  try {
    execFileSync(python, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' })
    return python
  } catch {
    return undefined
  }
}
