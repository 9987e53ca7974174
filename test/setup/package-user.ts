/** @file Runs TypeScript as a user of the built package would: imports of 'lowrank' go through package.json's exports. */
import { spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { repositoryRoot } from './doc-example.ts'

export interface ProgramOptions {
  readonly name: string
  readonly args?: readonly string[]
  readonly cwd: string
}

/** Runs a program and answers what it wrote on stdout; its stderr is the error when it fails. */
export async function runAsPackageUser(source: string, { name, args = [], cwd }: ProgramOptions): Promise<string> {
  // Inside the package, so that its own name leads to it; dist/ is ours to write to and not in the repository.
  const place = join(repositoryRoot, 'dist', 'programs')
  mkdirSync(place, { recursive: true })
  const file = join(place, `${process.pid}-${name.replace(/\.ts$/, '')}.mjs`)
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true },
  })
  writeFileSync(file, outputText)
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [file, ...args], { cwd, env: { ...process.env, HF_HUB_OFFLINE: '1' } })
      let [out, err] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out += text
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        err += text
      })
      child.on('error', reject)
      child.on('close', (code) =>
        code === 0 ? resolve(out) : reject(new Error(`${name} exits ${code}:\n${out}${err}`)),
      )
    })
  } finally {
    rmSync(file, { force: true })
  }
}
