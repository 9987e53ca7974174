/**
 * LoRA on a layer of your own, without a language model: a frozen 1000 × 1000 matrix learns a change of rank 10.
 *
 *   npm run example lora-layer        (any Node that lowrank runs on)
 *   node examples/lora-layer.ts       (Node 22.18 and later run TypeScript as it is)
 */
import { f32, linear, lora, predict } from 'lowrank'

const [n, rank, rows] = [1000, 10, 512]
const weight = random([n, n], (3 / n) ** 0.5)

// What is wanted: the weight and a change B·A of rank 10. The data show what it does, x → y.
const [a, b] = [random([rank, n], (3 / n) ** 0.5), random([n, rank], 1)]
const x = random([rows, n], 3 ** 0.5)
const change = await predict(linear({ weight: b }), { x: await predict(linear({ weight: a }), { x }) })
const y = sum(await predict(linear({ weight }), { x }), change)

// The sample itself: LoRA on the frozen weight, trained on the data.
const model = await lora(linear({ weight }), { r: rank, alpha: rank })
console.log(`training ${model.trainable.parameters} numbers beside ${model.parameters} frozen ones`)
console.log(`loss before ${await model.loss({ x, y })}`)
const steps = 200
for (let i = 0; i < steps; i++) await model.step({ x, y }, { learningRate: 0.03 * (1 - i / steps) })
console.log(`loss after ${await model.loss({ x, y })}`)

// Folded into the weight, the change costs nothing and computes the same.
const { 'linear.weight': merged = weight } = await model.merge()
const difference = sum(await model.predict({ x }), await predict(linear({ weight: merged }), { x }), -1)
const furthest = difference.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
console.log(`merged output differs by at most ${furthest}`)

await model.save('runs/lora-layer') // an adapter as PEFT saves it
await model.dispose()

type Matrix = ReturnType<typeof f32>

/** Numbers between −scale and scale, the same in each run. */
function random(shape: [number, number], scale: number): Matrix {
  let state = shape[0] * 31 + shape[1]
  const next = (): number => {
    state = (state * 48271) % 2147483647
    return (2 * state) / 2147483647 - 1
  }
  return f32(
    shape,
    Float32Array.from({ length: shape[0] * shape[1] }, () => scale * next()),
  )
}

/** p + factor·q. */
function sum(p: Matrix, q: Matrix, factor = 1): Matrix {
  return f32(
    p.shape,
    p.data.map((value, i) => value + factor * (q.data[i] ?? 0)),
  )
}
