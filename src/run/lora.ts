/**
 * @file LoRA on a network of one's own, without a language model: `lora(network, options)` opens an engine and answers a
 * model that trains. Must not know what the network computes.
 */
import type { WeightRef, WeightSource } from '../engine/engine.ts'
import { prepare } from '../engine/prepare.ts'
import { checkLoraConfig, loraConfig } from '../formats/peft-config.ts'
import type { PeftLoraConfig } from '../formats/peft-fields.ts'
import { readPeftFolder } from '../formats/peft-folder.ts'
import { readFileRefs } from '../formats/weights-folder.ts'
import { checkedFeeds, LoraModel, readSource } from '../layers/lora-model.ts'
import { type BatchOf, type InputSpecs, modulesOf, type Network, parametersOf } from '../layers/network.ts'
import { baseGraph } from '../layers/network-graphs.ts'
import type { ModuleInfo } from '../models/modules.ts'
import { loadAdapterTensors } from '../peft/adapter-tensors.ts'
import { initAdapter } from '../peft/init.ts'
import { layoutAdapter } from '../peft/layout.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import type { HostTensor, TypedTensor } from '../tensor/host-tensor.ts'
import type { OptimizerName } from '../train/optimizers.ts'
import { groupParameters } from '../train/parameter-groups.ts'
import { type EngineName, openEngine } from './open-engine.ts'

export interface EngineOptions {
  /** @default 'auto', the fastest */
  readonly engine?: EngineName | 'auto'
  /** @default the machine's cores */
  readonly threads?: number
}

export interface LoraOptions extends EngineOptions {
  /** Rank of the update. @default 8 */
  readonly r?: number
  /** The update is scaled by alpha / r. @default 16 */
  readonly alpha?: number
  /** Names of layers (or their ends), a regular expression over whole names, or 'all-linear'. @default 'all-linear' */
  readonly targets?: string | readonly string[]
  /** Dropout on the input of A in steps. @default 0 */
  readonly dropout?: number
  /** Every other field of PEFT's LoraConfig, under its own name: `{ use_dora: true }`. */
  readonly config?: Partial<PeftLoraConfig>
  /** Folder of a saved adapter to go on from: its config stands in for all of the above. */
  readonly adapter?: string
  /** @default 'adamw' */
  readonly optimizer?: OptimizerName
  /** Of a step that does not name its own. @default 1e-3 */
  readonly learningRate?: number
  /** @default 0 */
  readonly weightDecay?: number
  /** Gradients longer than this are scaled down to it; 0 leaves them. @default 0 */
  readonly maxGradNorm?: number
  /** Of first values and dropout. @default 42 */
  readonly seed?: number
}

/**
 * Puts LoRA on a frozen network.
 * @throws LowrankError `config` for targets that match nothing and ranks that cannot be meant, naming the layer; `format`
 * for weights that are missing or of another shape; what PEFT folders say.
 * @example
 * const model = await lora(linear({ weight }), { r: 10, alpha: 10 })
 * for (let i = 0; i < 100; i++) console.log((await model.step({ x, y })).loss)
 */
export async function lora<I extends InputSpecs>(
  network: Network<I>,
  options: LoraOptions = {},
): Promise<LoraModel<I>> {
  const modules = modulesOf(network)
  const weights = await openNetworkWeights(network, modules)
  const saved = options.adapter === undefined ? undefined : await readPeftFolder(options.adapter)
  const config = saved?.config ?? configOf(options)
  const layout = layoutAdapter(modules, config, { loaded: saved !== undefined })
  if (layout.invocation)
    throw new LowrankError('unsupported', 'alora_invocation_tokens needs a model that reads tokens', {
      field: 'alora_invocation_tokens',
    })
  const seed = options.seed ?? 42
  const base = (name: string): Promise<HostTensor> => readSource(weights, name)
  const values = saved
    ? loadAdapterTensors(layout, modules, saved.tensors, options.adapter).trained
    : await initAdapter(layout, { seed, init: config.init_lora_weights }, base)
  return new LoraModel({
    trained: { network, layout, groups: groupParameters(layout.tensors), dropout: config.lora_dropout },
    config: { ...config, ...layout.savedConfig },
    weights,
    values,
    engine: await openEngine(options.engine ?? 'auto'),
    threads: options.threads,
    optimizer: options.optimizer ?? 'adamw',
    learningRate: options.learningRate ?? 1e-3,
    weightDecay: options.weightDecay ?? 0,
    maxGradNorm: options.maxGradNorm ?? 0,
    seed,
  })
}

/** The network's output without any adapter. Inputs that only the loss needs may be left out. */
export async function predict<I extends InputSpecs>(
  network: Network<I>,
  inputs: Partial<BatchOf<I>>,
  options: EngineOptions = {},
): Promise<TypedTensor<'f32'>> {
  const weights = await openNetworkWeights(network, modulesOf(network))
  const engine = await openEngine(options.engine ?? 'auto')
  try {
    const graph = prepare(baseGraph(network), engine.composites)
    const threads = options.threads === undefined ? {} : { threads: options.threads }
    const executable = await engine.compile(graph, { weights, ...threads })
    const needed = Object.keys(network.inputs).filter((name) => graph.inputs.has(name))
    const { output } = await executable.run(checkedFeeds(network.inputs, inputs, needed))
    await executable.dispose()
    invariant(output?.dtype === 'f32', 'the graph has an output')
    return output
  } finally {
    await engine.dispose()
  }
}

function configOf({ r = 8, alpha = 16, targets = 'all-linear', dropout = 0, config }: LoraOptions): PeftLoraConfig {
  const whole = loraConfig({ r, lora_alpha: alpha, target_modules: targets, lora_dropout: dropout, ...config })
  checkLoraConfig(whole, 'lora')
  return whole
}

/** Every weight that the layers need, and no others. */
async function openNetworkWeights(
  { weights }: Pick<Network, 'weights'>,
  modules: readonly ModuleInfo[],
): Promise<WeightSource> {
  const where = typeof weights === 'string' ? weights : 'the network'
  const given = new Map<string, WeightRef | HostTensor>(
    typeof weights === 'string' ? [...(await readFileRefs(weights))] : Object.entries(weights),
  )
  const bound = new Map<string, WeightRef | HostTensor>()
  for (const { name, shape } of parametersOf(modules)) {
    const source = given.get(name)
    if (!source)
      throw new LowrankError('format', `${where} has no weight ${name} [${shape}]`, {
        field: name,
        suggestion: nearest(name, given.keys())[0],
      })
    if (String(source.shape) !== String(shape))
      throw new LowrankError('format', `${where} has ${name} [${source.shape}], the layer needs [${shape}]`, {
        field: name,
      })
    bound.set(name, source)
  }
  return bound
}
