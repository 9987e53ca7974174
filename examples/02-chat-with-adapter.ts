/**
 * One base kept open, asked with and without an adapter, then talked to. Run 01-train-lora.ts first.
 *
 *   node examples/02-chat-with-adapter.ts [model] [adapter]
 */
import { loadModel, openChat } from 'lowrank'

const [model = 'lowrank-tiny', adapter = 'runs/example'] = process.argv.slice(2)
const prompt = 'a green hat ='

// Both answers come out of one batch: which adapters act is a matter of the request.
const open = await loadModel({ model })
await open.attachAdapter({ name: 'colours', path: adapter })
const [without, with_] = await open.generate([
  { prompt, maxTokens: 12, adapters: [] },
  { prompt, maxTokens: 12, adapters: { colours: 1 } },
])
console.log(`${prompt}${without?.text}   (base)`)
console.log(`${prompt}${with_?.text}   (with the adapter)`)
await open.dispose()

// A conversation: text comes as soon as it is certain, and turns add up where the model has a chat template.
const chat = await openChat({ model, adapter: [adapter], temperature: 0, maxTokens: 12 })
for (const line of ['a blue boat =', 'a white lamp =']) {
  process.stdout.write(`> ${line}\n`)
  for await (const event of chat.send(line)) if (event.type === 'token') process.stdout.write(event.text)
  process.stdout.write('\n')
}
await chat.dispose()
