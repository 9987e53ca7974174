/**
 * @file docs/tutorial-classifier.md followed as written, with a tiny random encoder for the model it downloads: its commands
 * in their order, the server of examples/ asked over HTTP.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { repositoryRoot } from '../setup/doc-example.ts'
import { runCli } from '../setup/run-cli.ts'
import { tinyBert, writeTinyModel } from '../setup/tiny-model.ts'

const page = readFileSync(join(repositoryRoot, 'docs/tutorial-classifier.md'), 'utf8')
const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, body = '']) => body.trim().split('\n'))
const folder = mkdtempSync(join(tmpdir(), 'lowrank-tutorial-'))
let server: ChildProcess | undefined

beforeAll(async () => {
  mkdirSync(join(folder, 'examples'))
  cpSync(join(repositoryRoot, 'examples/tickets.csv'), join(folder, 'examples/tickets.csv'))
  await writeTinyModel(join(folder, 'sentence-transformers/all-MiniLM-L6-v2'), tinyBert)
})
afterAll(() => {
  server?.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/** Words of a command line, quotes taken off. */
const words = (command: string): string[] =>
  [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')

const lowrank = async (command: string): Promise<string> => {
  const { code, stdout, stderr } = await runCli(words(command).slice(2), { cwd: folder })
  if (code !== 0) throw new Error(`${command} exits ${code}: ${stderr}`)
  return stdout
}

/** Starts the script in the repository, so that its import finds the built package, on a port that is free. */
async function serve(command: string): Promise<string> {
  const [, script = '', run = ''] = words(command)
  const child = spawn(process.execPath, [join(repositoryRoot, script), run, '0'], { cwd: folder })
  server = child
  let [said, errors] = ['', '']
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  return await new Promise((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      const address = /listening on (\S+)\n/.exec(said)?.[1]
      if (address !== undefined) resolve(address)
    })
    child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${errors}`)))
  })
}

describe('docs/tutorial-classifier.md', () => {
  const is = (start: string) => (command: string) => command.startsWith(start)
  const ask = async (address: string, body: string): Promise<{ status: number; json: unknown }> => {
    const answer = await fetch(address, { method: 'POST', body })
    return { status: answer.status, json: await answer.json() }
  }

  it('shows the rows that are there', () => {
    const [, shown = ''] = /^```csv\n([\s\S]*?)^```$/m.exec(page) ?? []
    const file = readFileSync(join(repositoryRoot, 'examples/tickets.csv'), 'utf8')
    expect(shown.length).toBeGreaterThan(50)
    expect(file.startsWith(shown)).toBe(true)
    expect(page).toContain(`holds ${file.trim().split('\n').length - 1} requests`)
  })

  it('trains, evaluates and classifies', async () => {
    const [training = '', evaluation = '', one = '', all = ''] = commands.filter(is('npx lowrank'))
    await lowrank(training)
    const labels = JSON.parse(readFileSync(join(folder, 'runs/tickets/labels.json'), 'utf8')) as { labels: string[] }
    expect(labels.labels).toEqual(['billing', 'delivery', 'technical'])
    expect(readFileSync(join(folder, 'runs/tickets/report.html'), 'utf8')).toContain('class="confusion"')
    expect(await lowrank(evaluation)).toMatch(/accuracy [\d.]+ {2}macroF1 [\d.]+ {2}matthews -?[\d.]+/)
    expect(existsSync(join(folder, 'runs/tickets-eval.html'))).toBe(true)
    const said = await lowrank(one)
    for (const label of labels.labels) expect(said).toMatch(new RegExp(`^ +${label} +0\\.\\d{4}$`, 'm'))
    const lines = (await lowrank(all)).trim().split('\n')
    const results = JSON.parse(lines.at(-1) ?? '') as { label: string; score: number; scores: Record<string, number> }[]
    expect(results).toHaveLength(72)
    for (const { label, score, scores } of results) {
      expect(scores[label]).toBe(score)
      expect(Object.values(scores).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9)
    }
  }, 120_000)

  it('serves what the library says, as its own lines do', async () => {
    const script = readFileSync(join(repositoryRoot, 'examples/classifier-server.mjs'), 'utf8')
    expect(script).toContain('const classifier = await openClassifier({ adapter: run })')
    expect(script).toContain('await classifier.classify(texts)')
    const address = await serve(commands.find(is('node ')) ?? '')
    const [curl = ''] = commands.filter(is('curl '))
    const body = words(curl).at(-1) ?? ''
    const { status, json } = await ask(address, body)
    expect(status).toBe(200)
    const [first = ''] = (JSON.parse(body) as { texts: string[] }).texts
    const asked = await lowrank(`npx lowrank classify --adapter runs/tickets --json --text '${first}'`)
    expect(json).toEqual(JSON.parse(asked.trim().split('\n').at(-1) ?? ''))
    expect(await ask(address, '{')).toMatchObject({ status: 400 })
    expect(await ask(address, '{"texts": []}')).toMatchObject({ status: 400 })
    expect(await ask(address.replace('/classify', '/'), body)).toMatchObject({ status: 404 })
    const child = server
    const ended = new Promise((resolve) => child?.on('exit', resolve))
    child?.kill('SIGTERM')
    expect(await ended).toBe(0)
  }, 120_000)
})
