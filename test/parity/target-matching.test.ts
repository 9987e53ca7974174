/**
 * @file Which modules an adapter sits on, at which rank and scale, and which it trains whole: row by row as real PEFT
 * decides it on tiny models (scripts/goldens/target_matching.py).
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parsePeftLoraConfig } from '../../src/formats/peft-config.ts'
import type { ModuleInfo } from '../../src/models/modules.ts'
import { layoutAdapter } from '../../src/peft/layout.ts'

interface Row {
  readonly category: string
  readonly model: string
  readonly config: Record<string, unknown>
  readonly sites?: readonly (readonly [module: number, r: number, alpha: number, scale: number])[]
  readonly saved?: readonly string[]
  readonly error?: string
}

const file = new URL('../goldens/peft/matching.json', import.meta.url)
const { models, rows }: { models: Record<string, ModuleInfo[]>; rows: Row[] } = JSON.parse(readFileSync(file, 'utf8'))

function layout({ model, config }: Row) {
  const parsed = parsePeftLoraConfig({ peft_type: 'LORA', ...config }, 'adapter_config.json').config
  return layoutAdapter(models[model] ?? [], parsed, { modelType: model.split('-')[0], loaded: true })
}

const title = ({ category, model, config }: Row): string => `${category}: ${model} ${JSON.stringify(config)}`

describe('target matching', () => {
  it('has rows in every category', () => {
    expect(rows.length).toBeGreaterThan(250)
    expect([...new Set(rows.map(({ category }) => category))].sort()).toEqual([
      ...['all-linear', 'alpha_pattern', 'exclude', 'layers', 'layers_pattern', 'modules_to_save', 'rank_pattern'],
      ...['regex', 'suffix'],
    ])
  })

  it.each(rows.filter((row) => row.sites).map((row) => [title(row), row] as const))('%s', (_, row) => {
    const modules = models[row.model] ?? []
    const { sites, tensors } = layout(row)
    const index = new Map(modules.map(({ path }, i) => [path, i]))
    const ours = sites.map((site) => [index.get(site.path), site.r, site.alpha, site.scale])
    expect(ours.sort(([a = 0], [b = 0]) => a - b)).toEqual(row.sites)
    // PEFT names the module it wraps; its parameters are what is trained.
    const below = modules.flatMap(({ path, parameters }) =>
      row.saved?.some((saved) => path === saved || path.startsWith(`${saved}.`))
        ? parameters.map(({ name }) => `${path}.${name}`)
        : [],
    )
    expect(
      tensors
        .filter(({ role }) => role === 'saved')
        .map(({ id }) => id)
        .sort(),
    ).toEqual(below.sort())
  })

  it.each(rows.filter((row) => row.error).map((row) => [title(row), row] as const))('refuses %s', (_, row) => {
    expect(() => layout(row)).toThrow(/target_modules|exclude_modules|layers|modules_to_save/)
  })
})
