/** @file `lowrank doctor` at a terminal. Must not know engines. */
import type { DoctorOptions } from '../../config/verbs/index.ts'
import { doctor } from '../../run/doctor.ts'
import type { DoctorReport, EngineReport } from '../../run/types.ts'
import { bytes, duration } from '../../support/human.ts'
import { exitCodes } from '../errors.ts'
import { drive, type Face } from '../face.ts'
import { followProgress } from '../progress.ts'
import type { Palette } from '../terminal.ts'

/** Fails where an engine that is there computes wrong. */
export async function doctorFace(options: DoctorOptions, face: Face): Promise<number | undefined> {
  const progress = followProgress(face.terminal)
  const report = await drive(doctor(options), (event) => (face.json ? face.emit(event) : progress.show(event)))
  progress.end()
  if (face.json) face.emit(report)
  else face.terminal.write(doctorPage(report, face.terminal.out))
  return report.engines.every((engine) => engine.selfTest?.passed !== false) ? undefined : exitCodes.failed
}

export function doctorPage(report: DoctorReport, palette: Palette): string {
  const { machine } = report
  const units = Object.entries(machine.flags ?? {}).flatMap(([name, on]) =>
    on ? [name.toUpperCase().replace('AVX', 'AVX-')] : [],
  )
  const limit = machine.memoryLimitBytes === undefined ? '' : `, limited to ${bytes(machine.memoryLimitBytes)}`
  const row = (name: string, text: string): string => `  ${palette.faint(name.padEnd(14))} ${text}`
  const lines = [
    palette.heading('Machine'),
    row('processor', `${machine.cpu}, ${machine.cores} cores${units.length > 0 ? `, ${units.join(', ')}` : ''}`),
    row('memory', `${bytes(machine.memoryBytes)}, ${bytes(machine.freeMemoryBytes)} free${limit}`),
    row('system', machine.system),
    row('versions', `lowrank ${report.lowrank}, Node ${report.node}`),
    '',
    palette.heading('Engines'),
    ...report.engines.flatMap((engine) => engineLines(engine, row, palette)),
    '',
    palette.heading('Models'),
    ...report.caches.map(({ name, path, exists, models }) => {
      const held = models === undefined ? '' : `, ${models.length} models`
      return row(name, `${path}${exists ? held : palette.faint(' (not there yet)')}`)
    }),
    row('network', `${report.offline ? 'off (HF_HUB_OFFLINE)' : 'on'}, ${report.token ? 'token set' : 'no token'}`),
  ]
  return `${lines.join('\n')}\n`
}

function engineLines(engine: EngineReport, row: (name: string, text: string) => string, palette: Palette): string[] {
  if (!engine.found) return [row(engine.name, palette.warn(`not here: ${engine.reason}`))]
  const kernels =
    engine.kernels.length > 0
      ? `kernels of its own for ${engine.kernels.join(', ')}`
      : 'core ops only, f64: slow and exact'
  const test = engine.selfTest
  if (test === undefined) return [row(engine.name, kernels)]
  const verdict = test.passed ? palette.good(`self-test passed`) : palette.bad('self-test failed')
  return [
    row(engine.name, `${verdict} (${test.cases} cases in ${duration(test.seconds)})`),
    row('', kernels),
    ...test.problems.map((problem) => row('', palette.bad(problem))),
  ]
}
