/**
 * Teaches a model to answer in a fixed form, and watches it learn.
 *
 *   node examples/01-train-lora.ts [model] [output]
 *
 * Node 22.18 and later run TypeScript as it is. The model is a folder, a Hugging Face id, or the embedded lowrank-tiny.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { train } from 'lowrank'

const [model = 'lowrank-tiny', output = 'runs/example'] = process.argv.slice(2)

// A row a line. The loss counts the completion alone.
const colours = ['red', 'green', 'blue', 'black', 'white', 'grey']
const things = ['hat', 'cup', 'boat', 'coat', 'chair', 'lamp', 'door', 'bag']
const rows = colours.flatMap((colour) =>
  things.map((thing) => ({ prompt: `a ${colour} ${thing} =`, completion: ` ${thing}: ${colour}` })),
)
const data = `${output}.jsonl`
await mkdir(dirname(data), { recursive: true })
await writeFile(data, rows.map((row) => JSON.stringify(row)).join('\n'))

const run = train({
  model,
  data,
  output,
  overwrite: true,
  evalSplit: 0.1,
  rank: 8,
  learningRate: 5e-3,
  epochs: 4,
  logEvery: 5,
})
for await (const event of run) {
  if (event.type === 'step' && event.logged) console.log(`step ${event.step}/${event.totalSteps}  loss ${event.loss}`)
  if (event.type === 'eval') console.log(`rows kept aside: loss ${event.evalLoss}`)
  if (event.type === 'done')
    console.log(`${event.result.trainable} parameters trained, saved in ${event.result.output}`)
}
