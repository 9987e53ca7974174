/**
 * @file Adapter folders that PEFT wrote, read and written again by lowrank: the same keys, values and settings; and what
 * lowrank wrote, opened by a real PEFT where a Python with it is found (LOWRANK_PYTHON names it).
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { readPeftFolder, writePeftFolder } from '../../src/formats/peft-folder.ts'
import { readTensor } from '../../src/formats/tensor-files.ts'
import { adapterTensorsToSave, loadAdapterTensors } from '../../src/peft/adapter-tensors.ts'
import { layoutAdapter } from '../../src/peft/layout.ts'
import { openModel, withReplication } from '../../src/run/open-model.ts'
import { isRecord } from '../../src/support/json.ts'
import { pythonWith } from '../setup/python.ts'

import { TORCH } from '../tolerances.ts'
import { casesNamed, DECODERS, ENCODERS } from './cases.ts'

/** Fields beyond plain LoRA (scripts/goldens/lora_fields.py), and every model's cases. */
const fields = fileURLToPath(new URL('../goldens/lora-fields', import.meta.url))
const folders = [
  ...readdirSync(fields, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(fields, name)),
  ...[DECODERS, ENCODERS].flatMap(casesNamed).map(({ folder }) => folder),
]

const work = mkdtempSync(join(tmpdir(), 'lowrank-peft-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))
const copyOf = (folder: string): string => join(work, folder.split('/').slice(-2).join('-'))

/** Reads an adapter by its layout on the model and writes it to `copyOf(folder)`. */
async function rewrite(folder: string) {
  const adapter = await readPeftFolder(join(folder, 'adapter'))
  const base = await openModel(join(folder, 'model'))
  const { model, weights } = await withReplication(base, adapter.config.layer_replication)
  const layout = layoutAdapter(model.modules, adapter.config, { modelType: model.modelType, loaded: true })
  const { trained } = loadAdapterTensors(layout, model.modules, adapter.tensors, folder)
  const tensors = await adapterTensorsToSave(layout, trained, (source) => {
    const ref = weights.get(source)
    if (!ref) throw new Error(`the base has no ${source}`)
    return readTensor(ref)
  })
  mkdirSync(copyOf(folder), { recursive: true })
  await writePeftFolder(copyOf(folder), { config: { ...adapter.config, ...layout.savedConfig }, tensors })
  return { layout, adapter, tensors }
}

/** Lists that PEFT keeps as sets have no order. */
function settings(file: string): unknown {
  const config: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (!isRecord(config)) return config
  const sorted = (value: unknown): unknown => (Array.isArray(value) ? value.map(String).sort() : value)
  return { ...config, target_modules: sorted(config.target_modules), exclude_modules: sorted(config.exclude_modules) }
}

describe('adapters that PEFT wrote', () => {
  it.each(folders)('%s', async (folder) => {
    const { layout, adapter, tensors } = await rewrite(folder)
    expect([...tensors.keys()].sort()).toEqual([...adapter.tensors.keys()].sort())
    for (const [key, value] of tensors) expect(value, key).toEqual(adapter.tensors.get(key))
    const golden: unknown = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8'))
    const count = layout.tensors
      .filter((t) => t.trained && (!t.sameAs || t.transposed)) // PEFT counts a tied head's factors once more
      .reduce((n, t) => n + t.shape.reduce((a, b) => a * b, 1), 0)
    if (!folder.includes('lora-fa')) expect(isRecord(golden) && golden.trainable).toBe(count) // its optimizer holds A
    expect(settings(join(copyOf(folder), 'adapter_config.json'))).toEqual(
      settings(join(folder, 'adapter', 'adapter_config.json')),
    )
    expect(layout.notes).toEqual([])
  })
})

const python = pythonWith('peft')

/** What PEFT says of a config, not of a file: tied modules without the tie, rows that are tied anyway, patterns of parameters. */
const HINTS = [
  /`ensure_weight_tying` is not set to True/,
  /no tied modules are added in either/,
  /rank_pattern keys did not match any targeted module/,
  /`lora_bias=True` was passed but the targeted layer of type \w+ has no bias/,
]

/** With bias `all` PEFT writes a saved module's bias twice more, and has no place for one of them when it reads its own file. */
const UNREAD = /\.modules_to_save\.(.+\.)?bias$/

describe.skipIf(!python)('adapters that lowrank wrote, in real PEFT', () => {
  it('open without a warning, key for key, with the same loss', async () => {
    for (const folder of folders) await rewrite(folder)
    const script = new URL('../../scripts/goldens/peft_open.py', import.meta.url).pathname
    const output = execFileSync(python ?? '', [script, ...folders.flatMap((folder) => [folder, copyOf(folder)])], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const lines = output.trim().split('\n')
    expect(lines.length).toBe(folders.length)
    for (const [i, line] of lines.entries()) {
      const { loss, ...rest } = JSON.parse(line)
      rest.warnings = rest.warnings.filter((warning: string) => !HINTS.some((hint) => hint.test(warning)))
      rest.unexpected = rest.unexpected.filter((key: string) => !UNREAD.test(key))
      expect(rest, folders[i]).toEqual({ warnings: [], unexpected: [], onlyOurs: [], onlyTheirs: [] })
      const golden = JSON.parse(readFileSync(join(folders[i] ?? '', 'golden.json'), 'utf8'))
      expect(Math.abs(loss - golden.eval_loss_adapter)).toBeLessThan(TORCH.loss)
    }
  }, 900_000)
})
