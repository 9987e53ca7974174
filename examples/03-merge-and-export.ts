/**
 * Folds an adapter into its base: a plain Hugging Face folder that transformers, vLLM or llama.cpp's converter open.
 * Run 01-train-lora.ts first.
 *
 *   node examples/03-merge-and-export.ts [model] [adapter] [output]
 */
import { evaluate, inspect, mergeAdapter } from 'lowrank'

const [model = 'lowrank-tiny', adapter = 'runs/example', output = 'runs/merged'] = process.argv.slice(2)
const data = `${adapter}.jsonl`

const merged = await mergeAdapter({ model, adapter, output, overwrite: true })
console.log(`${merged.merged} modules merged into ${merged.tensors} tensors, ${merged.dtype}, in ${merged.output}`)

const { kind, architecture, parameters } = await inspect({ path: output })
console.log(`${output} is a ${kind}: ${architecture}, ${parameters} parameters`)

// The merged model is the adapted one, up to rounding in the base's dtype.
const losses = [
  { name: 'base', ...(await evaluate({ model, data })) },
  { name: 'base + adapter', ...(await evaluate({ model, adapter, data })) },
  { name: 'merged', ...(await evaluate({ model: output, data })) },
]
for (const { name, loss, tokens } of losses) console.log(`${name}: loss ${loss.toFixed(4)} over ${tokens} tokens`)
