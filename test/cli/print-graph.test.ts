/** @file `train --print-graph` shows the graph that really runs. */
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { idRows, labFolder, rowsFile, succeed } from '../e2e/lab.ts'
import { runCli } from '../setup/run-cli.ts'
import { writeTinyModel } from '../setup/tiny-model.ts'

const lab = labFolder()

it('shows a step as one graph, the same text for the same step', async () => {
  const model = await writeTinyModel(join(lab, 'model'))
  const data = rowsFile(lab, idRows(4))
  const args = ['train', '--model', model, '--data', data, '--steps', '1', '--print-graph', '--samples', '0']
  const graphs: unknown[] = []
  for (const output of ['one', 'two']) {
    const { events } = await succeed([...args, '--output', join(lab, output)])
    graphs.push(events.find((event) => event.type === 'graph'))
  }
  expect(graphs[0]).toEqual(graphs[1])
  expect(graphs[0]).toMatchObject({
    text: expect.stringMatching(/^graph\(/),
    hash: expect.stringMatching(/^[0-9a-f]{14}$/),
  })
  const { text } = graphs[0] as { text: string }
  expect(text).toContain('weight model.layers.0.self_attn.q_proj.weight: f32[16, 16]')
  expect(text).toContain('# backward model.layers.1.mlp.down_proj')
  expect(text).toMatch(/return losses=%\d+, .*next\./)

  const { stderr } = await runCli([...args, '--output', join(lab, 'three')])
  expect(stderr).toContain(text.trimEnd())
})
