/** @file Runs the built command line as users do: a process of its own, with its streams and exit code. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface CliResult {
  code: number | null
  stdout: string
  stderr: string
}

export interface CliOptions {
  cwd?: string
  env?: Record<string, string>
  stdin?: string
  /** Called with everything on stderr so far; for tests that interrupt. */
  onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void
}

export const bin = fileURLToPath(new URL('../../dist/cli/bin.js', import.meta.url))

/** Runs `lowrank …args`. Colours are off and nothing of the caller's Hugging Face settings leaks in. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const env = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', HF_HUB_OFFLINE: '1', ...options.env }
  const child = spawn(process.execPath, [bin, ...args], { cwd: options.cwd, env })
  const out = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    out.stderr += text
    options.onStderr?.(out.stderr, (signal) => child.kill(signal))
  })
  child.stdin.end(options.stdin ?? '')
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve)
  })
  return { code, ...out }
}
