/** @file Entry point of bench's child process: settings as JSON in, one measurement as JSON out. */
import { type MeasureSettings, measureTraining } from './measure.ts'
import { measureProducts } from './products.ts'

const [task = '', text = '{}'] = process.argv.slice(2)
const settings = JSON.parse(text) as MeasureSettings
const result = task === 'products' ? { gflops: await measureProducts(settings) } : await measureTraining(settings)
// The parent reads this; a child process has no terminal of its own.
process.send?.(result)
