/** @file LoRA's starts against real PEFT's (scripts/goldens/inits.py), and what they promise by themselves. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { DatasetBuilder } from '../../src/data/dataset.ts'
import { referenceEngine } from '../../src/engines/reference/index.ts'
import { EVA_DEFAULTS } from '../../src/formats/lora-init.ts'
import { loraConfig, parsePeftLoraConfig } from '../../src/formats/peft-config.ts'
import type { PeftLoraConfig } from '../../src/formats/peft-fields.ts'
import { readSafetensors } from '../../src/formats/tensor-files.ts'
import { frobeniusNorm, matrix, multiply, row, scaleBy, subtract, transpose } from '../../src/linalg/matrix.ts'
import { qr } from '../../src/linalg/qr.ts'
import { svd } from '../../src/linalg/svd.ts'
import { distributeRanks, evaConfigOf, evaFactors } from '../../src/peft/inits/eva.ts'
import { orthogonalFactors } from '../../src/peft/inits/orthogonal.ts'
import { plainConfig, plainValues } from '../../src/peft/inits/plain-lora.ts'
import { splitWeight } from '../../src/peft/inits/split-weight.ts'
import { type AdapterLayout, layoutAdapter } from '../../src/peft/layout.ts'
import { asF32 } from '../../src/peft/low-rank-update.ts'
import { mergeSite } from '../../src/peft/merge.ts'
import { type AdapterSite, idAt } from '../../src/peft/method.ts'
import { storedTensors } from '../../src/run/adapters.ts'
import { type OpenModel, openModel } from '../../src/run/open-model.ts'
import { RandomStream } from '../../src/support/random.ts'
import { f32, type HostTensor } from '../../src/tensor/host-tensor.ts'
import { inputComponents } from '../../src/train/input-components.ts'
import { INIT } from '../tolerances.ts'
import { required } from './case.ts'

interface InitCase {
  readonly base: string
  readonly config: Record<string, unknown>
  readonly rank_pattern: Record<string, number>
  readonly alpha_pattern: Record<string, number>
  readonly errors?: Record<string, number>
}

const goldens = fileURLToPath(new URL('../goldens', import.meta.url))
const cases: Record<string, InitCase> = JSON.parse(readFileSync(join(goldens, 'inits', 'cases.json'), 'utf8'))

async function openInit(name: string) {
  const golden = required(cases[name], name)
  const base = await openModel(join(goldens, 'models', golden.base, 'model'))
  const { given } = parsePeftLoraConfig(golden.config, 'cases.json', { partial: true })
  const config = loraConfig({ task_type: 'CAUSAL_LM', ...given })
  const layout = layoutAdapter(base.model.modules, config, { modelType: base.model.modelType })
  return { golden, base, config, layout, stored: storedTensors(base.weights) }
}

const tensorsOf = (name: string) => readSafetensors(join(goldens, 'inits', `${name}.safetensors`))
const asMatrix = (t: HostTensor) => matrix(t.shape[0] ?? 0, t.shape[1] ?? 0, Float64Array.from(asF32(t, 'golden')))
const largest = (a: HostTensor, b: HostTensor): number => {
  const [x, y] = [asF32(a, 'a'), asF32(b, 'b')]
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - (y[i] ?? Number.NaN))), 0)
}

/** The largest angle between the spaces that rows of two matrices span, as its sine. */
function angle(a: HostTensor, b: HostTensor): number {
  const [qa, qb] = [qr(transpose(asMatrix(a))).q, qr(transpose(asMatrix(b))).q]
  const { s } = svd(multiply(transpose(qa), qb))
  return Math.sqrt(Math.max(0, 1 - Math.min(1, s.at(-1) ?? 0) ** 2))
}

/** Ours with each rank's sign turned to the golden's. */
function turned(ours: { a: HostTensor; b: HostTensor }, golden: HostTensor): { a: HostTensor; b: HostTensor } {
  const [a, bt, g] = [asMatrix(ours.a), transpose(asMatrix(ours.b)), asMatrix(golden)]
  for (let i = 0; i < a.rows; i++) {
    const same = row(a, i).reduce((sum, value, j) => sum + value * (row(g, i)[j] ?? 0), 0)
    if (same < 0) for (const m of [a, bt]) scaleBy(row(m, i), -1)
  }
  return { a: f32(ours.a.shape, a.data), b: f32(ours.b.shape, transpose(bt).data) }
}

const source = (site: AdapterSite): string => `${site.tiedTo ?? site.path}.weight`
const split = async (
  name: string,
  use: (site: AdapterSite, found: ReturnType<typeof splitWeight>, weight: HostTensor) => Promise<void> | void,
) => {
  const { layout, config, stored } = await openInit(name)
  expect(layout.sites.length).toBeGreaterThan(0)
  for (const site of layout.sites) {
    const weight = await stored(source(site))
    await use(site, splitWeight(site, weight, { init: String(config.init_lora_weights) }), weight)
  }
}

/** left + s·B·A. */
const whole = (
  { path, kind, scale }: AdapterSite,
  { a, b, left }: { a: HostTensor; b: HostTensor; left: HostTensor },
) => mergeSite({ path, kind, weight: left }, [{ a, b, scale, adapter: 'start' }]).weight

describe('starts taken out of the base', () => {
  it.each(['pissa', 'pissa-patterns', 'pissa-rslora', 'pissa-gpt2', 'olora', 'olora-rslora'])(
    '%s is PEFT’s, up to sign',
    async (name) => {
      const golden = await tensorsOf(name)
      await split(name, (site, found, weight) => {
        const of = (what: string) => required(golden.get(`${site.path}.${what}`), site.path)
        const same = turned(found, of('a'))
        expect(largest(same.a, of('a'))).toBeLessThan(INIT.factors)
        expect(largest(same.b, of('b'))).toBeLessThan(INIT.factors)
        expect(largest(found.left, of('left'))).toBeLessThan(INIT.base)
        expect(largest(whole(site, found), weight)).toBeLessThan(INIT.base)
      })
    },
  )

  it('pissa_niter_400 spans PEFT’s space', async () => {
    const golden = await tensorsOf('pissa-niter')
    await split('pissa-niter', (site, found, weight) => {
      expect(angle(found.a, required(golden.get(`${site.path}.a`), 'a'))).toBeLessThan(INIT.angle)
      expect(largest(whole(site, found), weight)).toBeLessThan(INIT.base)
    })
  })

  it('olora leaves a Conv1D’s output alone, where PEFT’s, which forgets that it is transposed, does not', async () => {
    const golden = await tensorsOf('olora-gpt2')
    await split('olora-gpt2', (site, found, weight) => {
      expect(largest(whole(site, found), weight)).toBeLessThan(INIT.base)
      const of = (what: string) => required(golden.get(`${site.path}.${what}`), site.path)
      const fits = of('b').shape[0] === site.outFeatures && of('a').shape[1] === site.inFeatures
      if (fits) expect(largest(whole(site, { a: of('a'), b: of('b'), left: of('left') }), weight)).toBeGreaterThan(0.05)
      else expect(site.inFeatures).not.toBe(site.outFeatures)
    })
  })

  it.each([1, 5])('loftq is as near the weight as our torch script’s, after %i rounds', async (iterations) => {
    const { golden, layout, stored } = await openInit('loftq')
    for (const site of layout.sites) {
      const weight = await stored(source(site))
      const found = splitWeight(site, weight, { init: 'loftq', loftqIterations: iterations })
      const error = frobeniusNorm(subtract(asMatrix(whole(site, found)), asMatrix(weight)))
      expect(error).toBeLessThan(required(golden.errors?.[`${site.path}.${iterations}`], site.path) * (1 + INIT.share))
    }
  })

  it.each(['pissa', 'pissa-patterns', 'pissa-rslora', 'olora', 'olora-rslora', 'pissa-gpt2'])(
    '%s converts to a plain LoRA that is the same model',
    async (name) => {
      const { base, config, layout, stored } = await openInit(name)
      const first = new Map<string, ReturnType<typeof splitWeight>>()
      const trained = new Map<string, HostTensor>()
      const random = new RandomStream(5, 'trained')
      for (const site of layout.sites) {
        const found = splitWeight(site, await stored(source(site)), { init: String(config.init_lora_weights) })
        first.set(site.path, found)
        const moved = (t: HostTensor): HostTensor =>
          f32(
            t.shape,
            asF32(t, 't').map((x) => x + 0.1 * random.normal()),
          )
        trained.set(idAt(site, 'a'), moved(found.a)).set(idAt(site, 'b'), moved(found.b))
      }
      const plain = plainConfig({ ...config, ...layout.savedConfig })
      expect(plain.init_lora_weights).toBe(true)
      const again = layoutAdapter(base.model.modules, plain, { modelType: base.model.modelType, loaded: true })
      const values = plainValues(layout, trained, first)
      for (const site of layout.sites) {
        const other = required(
          again.sites.find(({ path }) => path === site.path),
          site.path,
        )
        expect(other.r).toBe(2 * site.r)
        expect(other.scale).toBeCloseTo(site.scale, 12)
        const own = factors(site, trained)
        const left = required(first.get(site.path), site.path).left
        const converted = whole(other, { ...factors(other, values), left: await stored(source(site)) })
        expect(largest(whole(site, { ...own, left }), converted)).toBeLessThan(INIT.converted)
      }
    },
  )

  it('a weight that is not finite, and a rank that is too large, are refused by the module’s name', async () => {
    const { layout, stored } = await openInit('pissa')
    const site = required(layout.sites[0], 'a site')
    const weight = await stored(source(site))
    const broken = f32(
      weight.shape,
      asF32(weight, 'w').map((x, i) => (i === 5 ? Number.NaN : x)),
    )
    expect(() => splitWeight(site, broken, { init: 'pissa' })).toThrow(new RegExp(`${site.path}.*NaN`))
    expect(() => splitWeight({ ...site, r: 100 }, weight, { init: 'olora' })).toThrow(/rank 100.*16/)
  })
})

function factors(site: AdapterSite, values: ReadonlyMap<string, HostTensor>) {
  return { a: required(values.get(idAt(site, 'a')), 'a'), b: required(values.get(idAt(site, 'b')), 'b') }
}

describe('orthogonal', () => {
  const site = { path: 'layer', r: 6, inFeatures: 40, outFeatures: 30 }
  it('has random factors of a tenth’s size whose product is zero', () => {
    const { a, b } = orthogonalFactors(site, 3)
    expect(multiply(asMatrix(b), asMatrix(a)).data.reduce((most, x) => Math.max(most, Math.abs(x)), 0)).toBeLessThan(
      INIT.product,
    )
    // Each element of A is a tenth of a normal number times a vector of half the rotation's length.
    const size = (t: HostTensor): number => frobeniusNorm(asMatrix(t)) / Math.sqrt(t.data.length)
    expect(size(a)).toBeGreaterThan(0.05)
    expect(size(a)).toBeLessThan(0.1)
    expect(size(b)).toBeGreaterThan(0.05)
  })
  it('needs an even rank', () => {
    expect(() => orthogonalFactors({ ...site, r: 5 }, 3)).toThrow(/even rank; at layer it is 5/)
  })
})

describe('eva', () => {
  it.each(['eva', 'eva-whiten'])('%s finds PEFT’s ranks and its space', async (name) => {
    const golden = await tensorsOf(name)
    const { golden: listed, base, config, layout } = await openInit(name)
    const settings = config.eva_config ?? EVA_DEFAULTS
    const { inputs, settled } = await inputComponents(base.model, layout.sites, {
      engine: referenceEngine(),
      weights: base.weights,
      rows: rowsOf(join(goldens, 'models', listed.base, 'train.jsonl')),
      batchSize: 8,
      rho: settings.rho,
      tau: settings.tau,
      labelledOnly: settings.use_label_mask,
    })
    expect(settled).toBe(true)
    const ranks = distributeRanks(inputs)
    const found = evaConfigOf(config, layout.sites, ranks, settings)
    const first = evaFactors(inputs, ranks, settings.whiten)
    checkEva(base, found, first, { golden, listed, sites: layout.sites })
  })
})

/** Ranks of modules with one input are equal offers: PEFT's order among them is its own, so their sums are compared. */
function checkEva(
  base: OpenModel,
  found: PeftLoraConfig,
  first: ReturnType<typeof evaFactors>,
  {
    golden,
    listed,
    sites,
  }: { golden: ReadonlyMap<string, HostTensor>; listed: InitCase; sites: AdapterLayout['sites'] },
): void {
  const again = layoutAdapter(base.model.modules, found, { modelType: base.model.modelType })
  const block = (path: string): string =>
    path.replace(/[^.]*$/, '').replace('self_attn.', /[qkv]_proj$/.test(path) ? 'qkv' : 'o')
  const sums = (rankOf: (path: string) => number): Record<string, number> => {
    const out: Record<string, number> = {}
    for (const { path } of sites) out[block(path)] = (out[block(path)] ?? 0) + rankOf(path)
    return out
  }
  const goldenRank = (path: string): number => golden.get(`${path}.a`)?.shape[0] ?? 0
  expect(sums((path) => again.sites.find((s) => s.path === path)?.r ?? 0)).toEqual(sums(goldenRank))
  expect(Object.keys(found.alpha_pattern).length > 0).toBe(Object.keys(listed.alpha_pattern).length > 0)
  for (const site of again.sites) {
    const a = required(golden.get(`${site.path}.a`), site.path)
    const ours = required(first.get(site.path), site.path)
    const rank = Math.min(site.r, a.shape[0] ?? 0)
    const part = (t: HostTensor): HostTensor =>
      f32([rank, site.inFeatures], asF32(t, 'a').slice(0, rank * site.inFeatures))
    expect(angle(part(ours.a), part(a))).toBeLessThan(INIT.angle)
    // PEFT whitens in place, so a decomposition that q, k and v share is divided once for each of them: a defect.
    if (found.eva_config?.whiten && !site.path.endsWith('o_proj')) continue
    const size = frobeniusNorm(asMatrix(part(ours.a))) / frobeniusNorm(asMatrix(part(a)))
    expect(Math.abs(size - 1)).toBeLessThan(INIT.angle)
  }
}

function rowsOf(file: string) {
  const builder = new DatasetBuilder((_, line) => `train.jsonl:${line}`)
  for (const [i, line] of readFileSync(file, 'utf8').trim().split('\n').entries()) {
    const { input_ids, labels } = JSON.parse(line)
    builder.add({ ids: input_ids, labels }, i, 0, i + 1)
  }
  return builder.build()
}
