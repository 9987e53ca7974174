/**
 * @file A network with LoRA on it, compiled by an engine: trains, computes, merges, gives its adapter out.
 * Must not know which engine it is, or how files are found.
 */
import { bindDims } from '../engine/bind-dims.ts'
import { type Engine, type Executable, isWeightRef, type WeightSource } from '../engine/engine.ts'
import { prepare } from '../engine/prepare.ts'
import { renderModelCard } from '../formats/model-card.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { writePeftFolder } from '../formats/peft-folder.ts'
import { readTensor } from '../formats/tensor-files.ts'
import type { Graph } from '../graph/types.ts'
import { adapterTensorsToSave } from '../peft/adapter-tensors.ts'
import { planMerge } from '../peft/merge-model.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { makeFolder } from '../support/files.ts'
import { nearest } from '../support/nearest.ts'
import { hashKey } from '../support/random.ts'
import { evaluateDim } from '../tensor/dim.ts'
import { f32, type HostTensor, sizeOf, type TypedTensor, zeros } from '../tensor/host-tensor.ts'
import { type OptimizerName, optimizers } from '../train/optimizers.ts'
import { packGroup, unpackGroup } from '../train/parameter-groups.ts'
import { type BatchOf, type InputSpecs, inputType, modulesOf, parametersOf } from './network.ts'
import { gradientGraph, lossGraph, outputGraph, stepGraph, type TrainedNetwork } from './network-graphs.ts'

export interface TrainableTensor {
  /** Its key in PEFT's file, without the prefix: `hidden.lora_A.weight`. */
  readonly name: string
  readonly shape: readonly number[]
}

/** What training changes. */
export interface Trainable {
  /** Numbers in all of them. */
  readonly parameters: number
  readonly tensors: readonly TrainableTensor[]
}

export interface StepResult {
  /** Mean of the losses, before the step. */
  readonly loss: number
  /** Length of all gradients together, before clipping. */
  readonly gradNorm: number
}

export interface LoraModelParts<I extends InputSpecs> {
  readonly trained: TrainedNetwork<I>
  /** As it is saved. */
  readonly config: PeftLoraConfig
  readonly weights: WeightSource
  readonly values: ReadonlyMap<string, HostTensor>
  readonly engine: Engine
  readonly threads: number | undefined
  readonly optimizer: OptimizerName
  readonly learningRate: number
  readonly weightDecay: number
  readonly maxGradNorm: number
  readonly seed: number
}

interface Stepper<I extends InputSpecs> {
  readonly executable: Executable
  /** Something drops at random. */
  readonly drops: boolean
  /** Number of losses of a batch. */
  losses(batch: BatchOf<I>): number
}

/** A frozen network and what is trained on it. Made by `lora()`; dispose it when done. */
export class LoraModel<I extends InputSpecs> {
  /** Numbers in the frozen weights. */
  readonly parameters: number
  readonly trainable: Trainable
  readonly #parts: LoraModelParts<I>
  readonly #executables = new Map<string, Executable>()
  /** Set once there is a step: what is trained lives in the engine from then on. */
  #stepper: Promise<Stepper<I>> | undefined
  /** As of the last time they were read. */
  #values: ReadonlyMap<string, HostTensor>
  #stale = false
  #steps = 0

  constructor(parts: LoraModelParts<I>) {
    this.#parts = parts
    this.#values = parts.values
    const { network, layout, groups } = parts.trained
    this.parameters = parametersOf(modulesOf(network)).reduce((sum, { shape }) => sum + sizeOf(shape), 0)
    const trained = new Set(groups.flatMap(({ tensors }) => tensors.map(({ id }) => id)))
    const tensors = layout.tensors.filter(({ id }) => trained.has(id)).map(({ id, shape }) => ({ name: id, shape }))
    this.trainable = { parameters: tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0), tensors }
  }

  /** One optimizer step. @throws LowrankError `usage` for inputs that are missing or of another type; `numeric` */
  async step(batch: BatchOf<I>, options: { readonly learningRate?: number } = {}): Promise<StepResult> {
    const { executable, drops, losses } = await this.#openStepper()
    const step = this.#steps++
    this.#stale = true
    const feeds: Record<string, HostTensor> = {
      ...this.#feeds(batch, Object.keys(this.#parts.trained.network.inputs)),
      rate: f32([], [options.learningRate ?? this.#parts.learningRate]),
      lossWeight: f32([], [1 / losses(batch)]),
    }
    for (const [name, value] of Object.entries(optimizers[this.#parts.optimizer].scalars(step + 1)))
      feeds[name] = f32([], [value])
    if (drops) feeds.dropoutKeys = this.#dropoutKeys(batch, step)
    const { losses: found, gradNorm } = await executable.run(feeds, { fetch: ['losses', 'gradNorm'] })
    const loss = mean(found)
    if (!Number.isFinite(loss))
      throw new LowrankError('numeric', `the loss of step ${step + 1} is ${loss}`, {
        suggestion: 'lower the learning rate, or look for values in the batch that are not numbers',
      })
    return { loss, gradNorm: Number(gradNorm?.data[0]) }
  }

  /** Mean loss of a batch, without dropout and without a step. */
  async loss(batch: BatchOf<I>): Promise<number> {
    const { losses } = await this.#run('loss', lossGraph, batch)
    return mean(losses)
  }

  /** The network's output with the adapter. Inputs that only the loss needs may be left out. */
  async predict(inputs: Partial<BatchOf<I>>): Promise<TypedTensor<'f32'>> {
    const { output } = await this.#run('output', outputGraph, inputs)
    invariant(output?.dtype === 'f32', 'the graph has an output')
    return output
  }

  /** Gradients of the mean loss with respect to every trained tensor, by name, without dropout. */
  async gradients(batch: BatchOf<I>): Promise<Map<string, HostTensor>> {
    const { losses } = await this.#openStepper()
    const found = await this.#run('gradients', gradientGraph, batch, { lossWeight: f32([], [1 / losses(batch)]) })
    return new Map(
      Object.entries(found).flatMap(([name, value]) => (name.startsWith('grad.') ? [[name.slice(5), value]] : [])),
    )
  }

  /** The trained tensors by name. */
  async values(): Promise<ReadonlyMap<string, HostTensor>> {
    if (!this.#stale || !this.#stepper) return this.#values
    const { groups } = this.#parts.trained
    const { executable } = await this.#stepper
    const flat = await executable.readState(groups.map(({ name }) => name))
    const values = new Map<string, TypedTensor<'f32'>>()
    for (const group of groups) {
      const held = flat[group.name]
      invariant(held, `${group.name} is in the state`)
      for (const [id, value] of unpackGroup(group, held)) values.set(id, value)
    }
    this.#values = values
    this.#stale = false
    return values
  }

  /** All weights of the network with the adapter folded in, by name: `W + s·B·A`, in the dtype that W has. */
  async merge(): Promise<Record<string, HostTensor>> {
    const { trained, weights } = this.#parts
    const modules = modulesOf(trained.network)
    const plan = planMerge(modules, [{ name: 'adapter', layout: trained.layout, values: await this.values() }])
    const changes = new Map(plan.tensors.map((change) => [change.name, change]))
    const merged: Record<string, HostTensor> = {}
    for (const { name } of parametersOf(modules)) {
      const held = await readSource(weights, name)
      merged[name] = changes.get(name)?.compute(held) ?? held
    }
    return merged
  }

  /** Writes the adapter as PEFT does: its keys are the layers' names, so it opens on a torch module of the same names. */
  async save(folder: string): Promise<void> {
    const { trained, config, weights } = this.#parts
    const base = async (name: string): Promise<HostTensor> => await readSource(weights, name)
    const tensors = await adapterTensorsToSave(trained.layout, await this.values(), base)
    await makeFolder(folder)
    await writePeftFolder(folder, { config, tensors, card: renderModelCard({ config }) })
  }

  /** Frees what the engine holds. */
  async dispose(): Promise<void> {
    const all = [...this.#executables.values()]
    if (this.#stepper) all.push((await this.#stepper).executable)
    for (const executable of all) await executable.dispose()
    await this.#parts.engine.dispose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  /** Compiled once, also where two steps are asked for at the same time. */
  #openStepper(): Promise<Stepper<I>> {
    this.#stepper ??= this.#compileStepper()
    return this.#stepper
  }

  async #compileStepper(): Promise<Stepper<I>> {
    const { trained, optimizer, weightDecay, maxGradNorm } = this.#parts
    const options = { optimizer, weightDecay, maxGradNorm, accumulates: false, dropout: true }
    const { graph, state, size } = stepGraph(trained, options)
    const executable = await this.#compile(graph, state)
    const first: Record<string, HostTensor> = {}
    for (const group of trained.groups) {
      first[group.name] = packGroup(group, this.#values)
      for (const moment of optimizers[optimizer].moments) first[`${group.name}.${moment}`] = zeros('f32', [group.size])
    }
    await executable.writeState(first)
    const own = new Map([...graph.inputs].filter(([name]) => name in trained.network.inputs))
    const losses = (batch: BatchOf<I>): number => evaluateDim(size, bindDims(own, shapesOf(batch)))
    return { executable, drops: graph.inputs.has('dropoutKeys'), losses }
  }

  async #compile(graph: Graph, state: Readonly<Record<string, string>> = {}): Promise<Executable> {
    const { engine, weights, threads } = this.#parts
    const options = { weights, state, ...(threads === undefined ? {} : { threads }) }
    return await engine.compile(prepare(graph, engine.composites), options)
  }

  /** Runs one of the graphs without a step, on what is trained now. */
  async #run(
    name: string,
    build: (trained: TrainedNetwork<I>) => Graph,
    batch: Partial<BatchOf<I>>,
    besides: Readonly<Record<string, HostTensor>> = {},
  ): Promise<Record<string, HostTensor>> {
    const { trained } = this.#parts
    const graph = build(trained)
    const executable = this.#executables.get(name) ?? (await this.#compile(graph))
    this.#executables.set(name, executable)
    const values = await this.values()
    const groups = trained.groups.filter((group) => graph.inputs.has(group.name))
    await executable.writeState(Object.fromEntries(groups.map((group) => [group.name, packGroup(group, values)])))
    const needed = Object.keys(trained.network.inputs).filter((input) => graph.inputs.has(input))
    return await executable.run({ ...this.#feeds(batch, needed), ...besides })
  }

  /** Values of the inputs that are `needed`, checked. */
  #feeds(batch: Partial<BatchOf<I>>, needed: readonly string[]): Record<string, HostTensor> {
    return checkedFeeds(this.#parts.trained.network.inputs, batch, needed)
  }

  /** A key a row: from the seed, the step and the row's place in its batch. */
  #dropoutKeys(batch: BatchOf<I>, step: number): TypedTensor<'u32'> {
    const [first] = Object.values<HostTensor>(batch)
    const rows = first?.shape[0] ?? 1
    const { seed } = this.#parts
    const data = Uint32Array.from({ length: rows }, (_, row) => hashKey(seed, Math.floor(seed / 2 ** 32), step, row, 0))
    return { dtype: 'u32', shape: [rows], data }
  }
}

/** @throws LowrankError `usage` naming an input that is missing, unknown or of another type. */
export function checkedFeeds(
  inputs: InputSpecs,
  batch: Readonly<Partial<Record<string, HostTensor>>>,
  needed: readonly string[],
): Record<string, HostTensor> {
  const names = Object.keys(inputs)
  const unknown = Object.keys(batch).find((name) => !names.includes(name))
  if (unknown !== undefined)
    throw new LowrankError('usage', `the network has no input ${unknown}; it has ${names.join(', ')}`, {
      field: unknown,
      suggestion: nearest(unknown, names)[0],
    })
  return Object.fromEntries(
    needed.map((name) => {
      const [value, spec] = [batch[name], inputs[name]]
      const wanted = spec && inputType(spec)
      if (!value || !wanted) throw new LowrankError('usage', `the batch lacks the input ${name}`, { field: name })
      const shown = `${wanted.dtype}[${wanted.shape.join(', ')}]`
      if (value.dtype !== wanted.dtype || value.shape.length !== wanted.shape.length)
        throw new LowrankError(
          'usage',
          `input ${name} is ${value.dtype}[${value.shape.join(', ')}], expected ${shown}`,
          {
            field: name,
          },
        )
      return [name, value]
    }),
  )
}

function shapesOf(batch: Readonly<Record<string, HostTensor>>): Map<string, readonly number[]> {
  return new Map(Object.entries(batch).map(([name, { shape }]) => [name, shape]))
}

/** A frozen weight, as it is stored. */
export async function readSource(weights: WeightSource, name: string): Promise<HostTensor> {
  const source = weights.get(name)
  invariant(source, `the network has no weight ${name}`)
  return isWeightRef(source) ? await readTensor(source) : source
}

function mean(losses: HostTensor | undefined): number {
  invariant(losses?.dtype === 'f32' && losses.data.length > 0, 'a graph of losses gives some')
  return losses.data.reduce((sum, loss) => sum + loss, 0) / losses.data.length
}
