/** @file A Python with the packages a test compares with, where there is one: LOWRANK_PYTHON, else python3. */
import { execFileSync } from 'node:child_process'

/** Its command, or undefined: the tests that need it then skip. */
export function pythonWith(...modules: readonly string[]): string | undefined {
  return having(process.env.LOWRANK_PYTHON ?? 'python3', modules)
}

/** One with AdapterHub's `adapters`, which needs a transformers of its own: LOWRANK_HUB_PYTHON may name it. */
export function hubPython(): string | undefined {
  return having(process.env.LOWRANK_HUB_PYTHON ?? process.env.LOWRANK_PYTHON ?? 'python3', ['adapters'])
}

function having(python: string, modules: readonly string[]): string | undefined {
  try {
    execFileSync(python, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' })
    return python
  } catch {
    return undefined
  }
}
