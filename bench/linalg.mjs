// Decompositions against numpy and torch in the same run, one thread each (--python), or else against this machine's own
// matrix product: time of each, and the ratio. CPU seconds, so that a busy machine does not change them.
//
//   node bench/linalg.mjs [--python PYTHON] [--size 500 --size 1000] [--rank 16]
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { matrix, multiply } from '../dist/linalg/matrix.js'
import { qr } from '../dist/linalg/qr.js'
import { randomizedSvd, singularValues, svd, topSvd } from '../dist/linalg/svd.js'
import { RandomStream } from '../dist/support/random.js'

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string' },
    size: { type: 'string', multiple: true, default: ['256', '512', '1000'] },
    rank: { type: 'string', default: '16' },
  },
})
const rank = Number(flags.rank)

function random(n) {
  const stream = new RandomStream(1, 'bench')
  return matrix(
    n,
    n,
    Float64Array.from({ length: n * n }, () => stream.normal()),
  )
}

/** CPU seconds of one run, the least of two. */
function seconds(body) {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 2; i++) {
    const before = process.cpuUsage()
    body()
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1e6)
  }
  return least
}

const PEER = `
import json, sys, time, os
import numpy as np, torch
torch.set_num_threads(1)
n, rank = int(sys.argv[1]), int(sys.argv[2])
m = np.random.default_rng(0).standard_normal((n, n)); t = torch.from_numpy(m)
def seconds(f):
    best = 1e9
    for _ in range(2):
        s = time.process_time(); f(); best = min(best, time.process_time() - s)
    return best
print(json.dumps({
  'product': seconds(lambda: m @ m), 'qr': seconds(lambda: torch.linalg.qr(t)),
  'svd': seconds(lambda: torch.linalg.svd(t, full_matrices=False)), 'values': seconds(lambda: torch.linalg.svdvals(t)),
  'top': seconds(lambda: torch.linalg.svd(t, full_matrices=False)), 'randomized': seconds(lambda: torch.svd_lowrank(t, q=rank + 10, niter=2)),
}))`

function peer(n) {
  if (flags.python === undefined) return undefined
  const env = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', MKL_NUM_THREADS: '1' }
  return JSON.parse(execFileSync(flags.python, ['-c', PEER, String(n), String(rank)], { encoding: 'utf8', env }))
}

const against = flags.python === undefined ? 'times a product' : 'of torch, one thread'
console.log(`| size | work | seconds | GFLOP/s | ${against} |\n|---|---|---|---|---|`)
for (const size of flags.size) {
  const n = Number(size)
  const m = random(n)
  const theirs = peer(n)
  const ours = {
    product: seconds(() => multiply(m, m)),
    qr: seconds(() => qr(m)),
    svd: seconds(() => svd(m)),
    values: seconds(() => singularValues(m)),
    top: seconds(() => topSvd(m, rank)),
    randomized: seconds(() => randomizedSvd(m, rank)),
  }
  const names = {
    product: 'A · B',
    qr: 'QR',
    svd: 'SVD, whole',
    values: 'singular values alone',
    top: `SVD, ${rank} largest`,
    randomized: `SVD, randomised, rank ${rank}`,
  }
  for (const [key, name] of Object.entries(names)) {
    const ratio = theirs === undefined ? ours[key] / ours.product : ours[key] / theirs[key]
    const flops = key === 'product' ? ((2 * n ** 3) / ours.product / 1e9).toFixed(1) : ''
    console.log(`| ${n} | ${name} | ${ours[key].toFixed(3)} | ${flops} | ${ratio.toFixed(2)} |`)
  }
}
