import { rmSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { blocksOf, follow, typeErrors } from '../setup/doc-example.ts'
import { modulesOf, trainGuide } from '../setup/guide-run.ts'

const root = follow(blocksOf('docs/adding-a-model.md'))
afterAll(() => rmSync(root, { recursive: true }))

const CONFIG = {
  model_type: 'toy',
  vocab_size: 11,
  hidden_size: 16,
  num_attention_heads: 2,
  num_hidden_layers: 2,
  initializer_range: 0.3,
}

describe('docs/adding-a-model.md', () => {
  it('compiles when it is followed', () => {
    expect(typeErrors(root, 'src/models/registry.ts')).toEqual([])
  })

  it('gives a family that a LoRA trains on', async () => {
    const options = { r: 4, lora_alpha: 8, target_modules: 'all-linear' }
    const { model, layout, losses } = await trainGuide(await modulesOf(root), CONFIG, options, 40)
    expect(layout.sites.map((site) => site.path)).toEqual(
      [0, 1].flatMap((layer) => ['q', 'k', 'v', 'up', 'out', 'down'].map((name) => `model.layers.${layer}.${name}`)),
    )
    expect(model.blockOf('model.layers.1.up')).toBe('model.layers.1')
    // An untrained model knows nothing of 11 tokens; after 40 steps it knows two rows by heart.
    expect(losses[0]).toBeCloseTo(Math.log(11), 0)
    expect(losses.at(-1)).toBeLessThan(1)
  })

  it('refuses by name what the family does not read', async () => {
    const { config, registry } = await modulesOf(root)
    const open = (more: object): unknown =>
      registry.modelOf(config.parseHfConfig({ ...CONFIG, ...more }, 'config.json'))
    expect(() => open({ sliding_window: 128 })).toThrow(/sets sliding_window = 128, which lowrank's toy does not know/)
    expect(() => open({ num_attention_heads: 0 })).toThrow(/num_attention_heads/)
  })
})
