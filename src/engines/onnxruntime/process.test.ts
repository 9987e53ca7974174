/** What the engine's thread does to the process around it: checked in processes of their own, as they ship. */
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'

/** A script over the compiled library with a long run of matrix products at hand as `run()`. */
function script(body: string): { status: number | null; stdout: string; stderr: string } {
  const dist = new URL('../../../dist/', import.meta.url).href
  const source = `
    import { onnxruntimeEngine } from '${dist}engines/onnxruntime/index.js'
    import { graphOf } from '${dist}graph/graph.js'
    import { newBuilder } from '${dist}ops/index.js'
    import { f32 } from '${dist}tensor/host-tensor.js'
    const engine = onnxruntimeEngine()
    const g = newBuilder()
    let x = g.feed('x', { dtype: 'f32', shape: ['n', 'n'] })
    for (let i = 0; i < 30; i++) x = g.mul(g.matmul(x, x), 1e-3)
    const executable = await engine.compile(graphOf([['y', x]]), { weights: new Map() })
    const run = (n = 800) => executable.run({ x: f32([n, n], new Float32Array(n * n).fill(1e-3)) })
    ${body}`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, stdout, stderr }
}

describe('a process with the onnxruntime engine', () => {
  it('ends by itself when nothing is in flight, disposed or not', () => {
    expect(script(`await run(4); console.log('done')`)).toEqual({ status: 0, stdout: 'done\n', stderr: '' })
  })

  it('exits in the middle of a run without a crash', () => {
    const body = `void run(); setTimeout(() => { console.log('leaving'); process.exit(7) }, 30)`
    expect(script(body)).toEqual({ status: 7, stdout: 'leaving\n', stderr: '' })
  })

  it('keeps its main thread free during a run', () => {
    const body = `
      let ticks = 0
      const timer = setInterval(() => ticks++, 5)
      await run()
      clearInterval(timer)
      console.log(ticks > 3)`
    expect(script(body)).toEqual({ status: 0, stdout: 'true\n', stderr: '' })
  })
})
