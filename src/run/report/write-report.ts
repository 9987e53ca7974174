/** @file Makes `report.html` of a run folder. Must not know how a run is trained. */
import { join } from 'node:path'
import { writeFileAtomic } from '../../support/atomic-write.ts'
import { type ReportExtras, readReportData } from './data.ts'
import { renderReport } from './page.ts'

/**
 * Reads the folder's log, settings and trained tensors and writes `report.html` beside them, atomically.
 * @param extras what the folder does not say: samples, the model's parameter count. Returns the path.
 */
export async function writeReport(folder: string, extras: ReportExtras = {}): Promise<string> {
  const file = join(folder, 'report.html')
  await writeFileAtomic(file, renderReport(await readReportData(folder, extras)))
  return file
}
