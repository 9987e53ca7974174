/** @file `lowrank bench` at a terminal: a table of what was measured. Must not know how. */
import type { BenchOptions } from '../../config/verbs/index.ts'
import { bench } from '../../run/bench.ts'
import type { BenchResult } from '../../run/types.ts'
import { bytes, percent, short, significant } from '../../support/human.ts'
import { drive, type Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import { table } from '../table.ts'
import type { Palette } from '../terminal.ts'

export async function benchFace(options: BenchOptions, face: Face): Promise<undefined> {
  const progress = followProgress(face.terminal)
  const result = await drive(bench({ ...options, signal: face.signal }), (event) => {
    if (face.json) face.emit(event)
    else progress.show(event)
  })
  progress.end()
  if (face.json) return void face.emit(result)
  face.terminal.write(benchTable(result, face.terminal.out))
}

export function benchTable(result: BenchResult, palette: Palette): string {
  const { machine, model, settings, lowrank, limit, peer, ratio } = result
  const rows = [['', 'tokens/s', 's a step', 'peak memory']]
  rows.push([
    'lowrank',
    significant(lowrank.tokensPerSecond),
    lowrank.secondsPerStep.toFixed(2),
    bytes(lowrank.peakMemoryBytes),
  ])
  if (peer)
    rows.push([
      `torch ${peer.torch} + peft ${peer.peft}`,
      significant(peer.tokensPerSecond),
      peer.secondsPerStep.toFixed(2),
      bytes(peer.peakMemoryBytes),
    ])
  if (ratio) rows.push(['lowrank against it', `${ratio.speed.toFixed(2)}×`, '', `${ratio.memory.toFixed(2)}×`])
  rows.push([
    `limit of matrix products (${Math.round(limit.gflops)} GFLOP/s)`,
    significant(limit.tokensPerSecond),
    '',
    '',
  ])
  const lines = [
    palette.strong(`${model.name}: ${short(model.parameters)} parameters, ${short(model.trainable)} trained`),
    `sequence ${settings.sequence}, batch ${settings.batchSize}, rank ${settings.rank}, ${settings.steps} steps, ` +
      `${settings.engine}, ${settings.threads} threads`,
    palette.faint(`${machine.cpu}, ${machine.cores} cores, ${bytes(machine.memoryBytes)}`),
    '',
    ...table(rows, palette),
    '',
    `lowrank reaches ${percent(limit.share)} of what matrix products alone would allow here.`,
  ]
  if (result.withoutPeer !== undefined) lines.push(palette.faint(result.withoutPeer))
  return `${lines.join('\n')}\n`
}
