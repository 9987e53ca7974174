/** @file `lowrank bench` at a terminal: a table of what was measured. Must not know how. */
import type { BenchOptions } from '../../config/verbs/index.ts'
import { bench } from '../../run/bench.ts'
import type { BenchProfile, BenchResult, BenchSide } from '../../run/types.ts'
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
  const { machine, model, settings, limit } = result
  const length = settings.data
    ? `${settings.data.rows} rows of ${settings.data.files.join(', ')}`
    : `sequence ${settings.sequence}`
  const lines = [
    palette.strong(`${model.name}: ${short(model.parameters)} parameters, ${short(model.trainable)} trained`),
    `${settings.task}, ${length}, batch ${settings.batchSize}, rank ${settings.rank}, ${settings.steps} steps, ` +
      `${settings.engine}, ${settings.threads} threads`,
    palette.faint(`${machine.cpu}, ${machine.cores} cores, ${bytes(machine.memoryBytes)}`),
    '',
    ...table(sideRows(result), palette),
    '',
    `lowrank reaches ${percent(limit.share)} of what matrix products alone would allow here.`,
  ]
  if (result.withoutPeer !== undefined) lines.push(palette.faint(result.withoutPeer))
  if (result.profile) lines.push('', ...profileLines(result.profile, palette))
  return `${lines.join('\n')}\n`
}

function sideRows({ settings, lowrank, limit, peer, ratio, variants = [] }: BenchResult): string[][] {
  const padded = settings.data !== undefined
  const row = (name: string, side: BenchSide, more = ''): string[] => [
    name,
    significant(side.tokensPerSecond),
    significant(side.rowsPerSecond),
    side.secondsPerStep.toFixed(side.secondsPerStep < 1 ? 3 : 2),
    bytes(side.peakMemoryBytes),
    ...(padded ? [percent(side.padding)] : []),
    more,
  ]
  const rows = [['', 'tokens/s', 'rows/s', 's a step', 'peak memory', ...(padded ? ['padding'] : []), '']]
  rows.push(row('lowrank', lowrank))
  for (const variant of variants) rows.push(row(`  ${variant.name}`, variant, `+${percent(variant.cost)}`))
  if (peer) rows.push(row(`torch ${peer.torch} + peft ${peer.peft}`, peer))
  if (ratio) rows.push(['lowrank against it', `${ratio.speed.toFixed(2)}×`, '', '', `${ratio.memory.toFixed(2)}×`])
  rows.push([`limit of matrix products (${Math.round(limit.gflops)} GFLOP/s)`, significant(limit.tokensPerSecond)])
  return rows
}

/** Ops in the table; the page has more. */
const OPS = 16

function profileLines({ ops, phases, seconds, outside, peakBytes, output }: BenchProfile, palette: Palette): string[] {
  const milliseconds = (time: number): string => (1000 * time).toFixed(1)
  const rows = ops
    .slice(0, OPS)
    .map((t) => [
      t.name,
      ...[t.seconds, t.forward, t.backward, t.update].map(milliseconds),
      percent(t.seconds / seconds),
      String(t.calls),
      t.gflops === undefined ? '' : String(Math.round(t.gflops)),
      significant(t.gigabytes, 2),
    ])
  const total = ['all', milliseconds(seconds * (1 - outside)), ...phases.map((phase) => milliseconds(phase.seconds))]
  const heading = ['ms of a step', 'all', 'forward', 'backward', 'update', 'share', 'calls', 'GFLOP/s', 'GB/s']
  return [
    ...table([heading, ...rows, total], palette),
    '',
    `${percent(outside)} of a step is in no kernel; at most ${bytes(peakBytes)} of values are held at once.`,
    `More, by place in the model and with pictures: ${output}`,
  ]
}
