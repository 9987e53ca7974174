/** @file The verbs over adapters and matrices at the command line: a way through all of them, and one message for each mistake. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors, writeSafetensors } from '../../src/formats/tensor-files.ts'
import { asF32 } from '../../src/peft/low-rank-update.ts'
import { evaluate } from '../../src/run/evaluate.ts'
import { extract } from '../../src/run/extract.ts'
import { mergeAdapter } from '../../src/run/merge.ts'
import { RandomStream } from '../../src/support/random.ts'
import { f32 } from '../../src/tensor/host-tensor.ts'
import { runCli } from '../setup/run-cli.ts'
import { type Json, tinyLlama, writeTinyModel } from '../setup/tiny-model.ts'
import { idRows, labFolder, refuse, rowsFile, succeed } from './lab.ts'

const lab = labFolder()
const at = (...parts: string[]): string => join(lab, ...parts)

/** A model with its projections moved away from the base. */
async function tuned(name: string, config: Json, seed: number): Promise<string> {
  return await writeTinyModel(at(name), config, (weights) => {
    const random = new RandomStream(seed, 'tuned')
    for (const [key, held] of weights)
      if (/proj/.test(key))
        weights.set(
          key,
          f32(
            held.shape,
            asF32(held, key).map((value) => value + 0.1 * random.normal()),
          ),
        )
  })
}

beforeAll(async () => {
  await writeTinyModel(at('base'))
  const wide = { ...tinyLlama, hidden_size: 32 }
  await writeTinyModel(at('wide'), wide)
  rowsFile(lab, idRows(6))
  const [one, two] = [await tuned('tuned', tinyLlama, 1), await tuned('tuned-b', tinyLlama, 2)]
  await extract({ tuned: one, model: at('base'), rank: 4, output: at('a') })
  await extract({ tuned: two, model: at('base'), rank: 2, output: at('b') })
  await extract({ tuned: await tuned('tuned-wide', wide, 3), model: at('wide'), rank: 4, output: at('other') })
  await writeSafetensors(at('broken.safetensors'), new Map([['w', f32([2, 2], [1, Number.NaN, 3, 4])]]))
})

const evaluated = async (...adapter: string[]): Promise<number> =>
  (await evaluate({ model: at('base'), adapter, data: [at('rows.jsonl')], engine: 'reference' })).loss

describe('a way through', () => {
  it('combine adds what the adapters add with their weights', async () => {
    const { result } = await succeed([
      'combine',
      `a=${at('a')}:0.5`,
      `b=${at('b')}:-1`,
      '--combination',
      'cat',
      '--output',
      at('cat'),
    ])
    expect(result).toMatchObject({ combination: 'cat', rank: 6, output: at('cat') })
    const apart = await evaluated(`a=${at('a')}:0.5`, `b=${at('b')}:-1`)
    expect(Math.abs((await evaluated(at('cat'))) - apart)).toBeLessThan(1e-6)
    expect((await succeed(['inspect', at('cat')])).result).toMatchObject({ kind: 'adapter', adapter: { rank: 6 } })
  })

  it('merge, extract again, truncate, diff', async () => {
    await mergeAdapter({ model: at('base'), adapter: at('a'), output: at('merged') })
    const { result } = await succeed([
      ...['extract', at('merged'), '--model', at('base')],
      '--rank',
      '4',
      '--output',
      at('again'),
    ])
    expect(Number(result.energy)).toBeGreaterThan(0.9999)
    expect(Math.abs((await evaluated(at('again'))) - (await evaluated(at('a'))))).toBeLessThan(1e-5)
    await succeed(['truncate', at('a'), '--rank', '1', '--output', at('one')])
    const same = (await succeed(['diff', at('a'), at('again')])).result
    expect(Number(same.cosine)).toBeGreaterThan(0.9999)
    const page = await runCli(['diff', at('a'), at('one')])
    expect(page.stdout).toMatch(/effective ranks[\s\S]*q_proj[\s\S]*cosine 0\./)
  })

  it('factorize writes factors and a page', async () => {
    const files = ['--output', at('f.safetensors'), '--report', at('f.html')]
    const name = 'model.layers.0.mlp.up_proj.weight'
    const { result } = await succeed([
      'factorize',
      at('base', 'model.safetensors'),
      '--tensor',
      name,
      '--rank',
      '5',
      '--algorithm',
      'randomized',
      ...files,
    ])
    expect(result.tensors).toHaveLength(1)
    const shapes = Array.from(await readSafetensors(at('f.safetensors')), ([key, { shape }]) => [key, shape])
    expect(Object.fromEntries(shapes)).toEqual({ [`${name}.lora_A`]: [5, 16], [`${name}.lora_B`]: [24, 5] })
    expect(readFileSync(at('f.html'), 'utf8')).toContain('<svg')
    expect((await runCli(['factorize', at('base'), '--tensor', name])).stdout).toMatch(/singular value/)
  })
})

describe('one message for each mistake', () => {
  const out = ['--output', join(lab, 'never')]
  const [a, b] = [at('a'), at('b')]
  it.each([
    [
      ['combine', a, b, '--combination', 'linear', ...out],
      1,
      /linear needs one rank: .* has rank 4 .* and 2 .*\n.*svd or cat/s,
    ],
    [['combine', a, at('other'), ...out], 1, /made for .*base.* and .* for .*wide/],
    [['combine', a, b, '--density', '0.5', ...out], 2, /--density has no meaning with --combination svd/],
    [['combine', ...out], 2, /ADAPTER|adapter/],
    [['truncate', a, ...out], 2, /truncate needs --rank or --energy/],
    [['diff', a, at('other')], 1, /were made for different bases/],
    [['extract', at('wide'), '--model', at('base'), '--rank', '2', ...out], 1, /it was not tuned from that base/],
    [['factorize', at('broken.safetensors')], 1, /tensor w of .* cannot be factorized: row 0, column 1 is NaN/],
    [
      ['factorize', at('base'), '--tensor', 'model.layers.0.mlp.up_porj.weight'],
      1,
      /did you mean model\.layers\.0\.mlp\.up_proj\.weight\?/,
    ],
  ] as const)('%j', async (args, exit, says) => {
    await refuse([...args], { exit, says, untouched: a })
    expect(existsSync(join(lab, 'never'))).toBe(false)
  })
})
