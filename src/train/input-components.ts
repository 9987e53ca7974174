/**
 * @file Principal components of what reaches each adapted layer, over rows of the data: what EVA starts from
 * (arXiv 2410.07170, algorithm 1). Must not know files, configs or what is made of the components.
 */
import { collate } from '../data/collate.ts'
import type { Dataset } from '../data/dataset.ts'
import { type Example, NO_LABEL } from '../data/example.ts'
import type { Engine, Executable, WeightSource } from '../engine/engine.ts'
import { prepare } from '../engine/prepare.ts'
import { graphOf } from '../graph/graph.ts'
import type { Node } from '../graph/types.ts'
import { IncrementalPca, rowCosines } from '../linalg/incremental-pca.ts'
import { matrix } from '../linalg/matrix.ts'
import type { Model } from '../models/causal-lm.ts'
import { forwardTensors } from '../models/forward-tensors.ts'
import { createNet } from '../models/net.ts'
import { newBuilder } from '../ops/index.ts'
import { distributeRanks, type InputComponents } from '../peft/inits/eva.ts'
import type { AdapterSite } from '../peft/method.ts'
import { invariant, LowrankError } from '../support/errors.ts'
import { mulDims } from '../tensor/dim.ts'
import { i64 } from '../tensor/host-tensor.ts'
import { batchFeeds } from './loss-graph.ts'
import { labelsAtOf } from './objectives.ts'

export interface ComponentOptions {
  readonly engine: Engine
  readonly weights: WeightSource
  readonly threads?: number | undefined
  readonly rows: Dataset
  readonly batchSize: number
  /** Components looked at for each rank. */
  readonly rho: number
  /** Cosine between a component and its last version from which it counts as found. */
  readonly tau: number
  /** Only tokens that carry loss; a label of a whole text is all its tokens'. */
  readonly labelledOnly: boolean
  readonly signal?: AbortSignal | undefined
  /** Called after each batch. */
  onBatch?(found: number, inputs: number): void
}

/** A model's graph of inputs, compiled. */
interface Compiled {
  readonly model: Pick<Model, 'reads' | 'spec'>
  readonly executable: Executable
}

/** Batches after which what is not found yet is taken as it is. */
const MOST_BATCHES = 400

interface Input extends InputComponents {
  /** Whether each component has stopped turning. */
  found: Float64Array
  /** Nothing more is taken, as long as the ranks stay where they are. */
  done: boolean
}

/**
 * Components of the input of each site. Sites that read the same tensor share one decomposition. Batches are taken in the
 * order of the data, again from the start at its end, until every component that a rank would go to is found.
 * @returns `settled` is false where `MOST_BATCHES` were not enough
 * @throws LowrankError `data` where no batch holds as many tokens as components are asked for; `stopped`
 */
export async function inputComponents(
  model: Model,
  sites: readonly AdapterSite[],
  options: ComponentOptions,
): Promise<{ inputs: InputComponents[]; settled: boolean }> {
  const { names, graph } = inputGraph(model, sites)
  const inputs = [...names.values()].map((sharing): Input => {
    const most = Math.max(...sharing.map(({ r }) => roundHalfToEven(r * options.rho)))
    return { sites: sharing, most, pca: new IncrementalPca(most), found: new Float64Array(most), done: false }
  })
  const { engine, weights, threads } = options
  const compile = { weights, ...(threads === undefined ? {} : { threads }) }
  const executable = await engine.compile(prepare(graph, engine.composites), compile)
  try {
    const settled = await collect({ model, executable }, inputs, options)
    return { inputs, settled }
  } finally {
    await executable.dispose()
  }
}

/** As Python rounds. */
function roundHalfToEven(x: number): number {
  return x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)
}

/** A graph whose outputs `input.N: f32[rows, width]` are the chosen tokens of each distinct input. */
function inputGraph(
  model: Model,
  sites: readonly AdapterSite[],
): { names: Map<Node, AdapterSite[]>; graph: ReturnType<typeof graphOf> } {
  const g = newBuilder()
  const byPath = new Map(sites.map((site) => [site.path, site]))
  const names = new Map<Node, AdapterSite[]>()
  const { ids, positions, segments, tokenTypes, columns } = batchFeeds(g, false)
  const inputs = { positions, segments, keyPositions: positions, keySegments: segments, tokenTypes, columns }
  const net = createNet(g, inputs, {
    base: (name, shape, sharedWith) => g.weight(sharedWith ?? name, shape),
    adapt(layer, x) {
      const site = byPath.get(layer.site.path)
      // DeBERTa's projections also read its table of relative positions, which no token brings.
      if (site && x.type.shape[0] === 'batch') names.set(x, [...(names.get(x) ?? []), site])
      return undefined
    },
  })
  const hidden = model.hidden(net, ids)
  if (model.modules.some(({ path, isAbove }) => isAbove && byPath.has(path))) model.logits(net, hidden)
  const tokens = g.feed('tokenRows', { dtype: 'i64', shape: ['rows'] })
  const flat = (x: Node): Node => g.reshape(x, { shape: [mulDims('batch', 'seq'), x.type.shape.at(-1) ?? 1] })
  const outputs = [...names.keys()].map((x, i) => [`input.${i}`, g.gather(flat(x), tokens)] as const)
  return { names, graph: graphOf(outputs) }
}

async function collect(on: Compiled, inputs: Input[], options: ComponentOptions): Promise<boolean> {
  const { rows, batchSize, signal } = options
  let ranks: ReadonlyMap<string, number> | undefined
  for (let step = 0, at = 0; step < MOST_BATCHES; step++) {
    if (signal?.aborted) throw new LowrankError('stopped', 'looking for components was stopped')
    // As PEFT: an input that is found takes no further batch, unless other inputs move more ranks to it.
    for (const input of inputs) input.done = isFound(input, ranks)
    const done = inputs.filter((input) => input.done).length
    options.onBatch?.(done, inputs.length)
    if (done === inputs.length) return true
    const examples = Array.from({ length: Math.min(batchSize, rows.length) }, (_, i) =>
      rows.example((at + i) % rows.length),
    )
    at = at + examples.length < rows.length ? at + examples.length : 0
    await takeBatch(on, inputs, examples, options)
    if (inputs.every(({ pca }) => pca.components)) ranks = distributeRanks(inputs)
    if (!ranks && (step + 1) * batchSize >= 2 * rows.length) throw tooFewTokens(inputs)
  }
  return false
}

async function takeBatch(
  { model, executable }: Compiled,
  inputs: readonly Input[],
  examples: readonly Example[],
  { labelledOnly, tau, signal }: ComponentOptions,
): Promise<void> {
  const batch = collate(
    examples.map((example) => [example]),
    { labelsAt: labelsAtOf(model.spec) },
  )
  const { task } = model.spec
  const isByToken = task !== 'classification' && task !== 'regression'
  const tokens = tokenRows(examples, batch.ids.shape[1] ?? 1, labelledOnly && isByToken)
  const feeds = { ...forwardTensors(batch, model), tokenRows: i64([tokens.length], tokens) }
  const outputs = await executable.run(feeds, signal ? { signal } : {})
  for (const [i, input] of inputs.entries()) {
    const values = outputs[`input.${i}`]
    invariant(values?.dtype === 'f32', 'the graph gives inputs')
    if (!input.done && tokens.length >= input.most) take(input, values.data, tokens.length, tau)
  }
}

function take(input: Input, values: Float32Array, rows: number, tau: number): void {
  const before = input.pca.components
  input.pca.add(matrix(rows, values.length / rows, Float64Array.from(values)))
  const now = input.pca.components
  if (before && now) input.found = rowCosines(now, before).map((cosine) => (cosine >= tau ? 1 : 0))
}

/** All components that a rank would go to have stopped turning; before ranks are known, all that are looked at. */
function isFound({ sites, found, most }: Input, ranks: ReadonlyMap<string, number> | undefined): boolean {
  const wanted = ranks ? Math.max(...sites.map(({ path }) => ranks.get(path) ?? 0)) : most
  return found.subarray(0, wanted).every((one) => one === 1)
}

/** Flat places of the tokens that count. */
function tokenRows(examples: readonly Example[], seq: number, labelledOnly: boolean): number[] {
  return examples.flatMap(({ ids, labels }, b) =>
    Array.from(ids.keys()).flatMap((t) => (labelledOnly && labels[t] === NO_LABEL ? [] : [b * seq + t])),
  )
}

function tooFewTokens(inputs: readonly Input[]): LowrankError {
  const most = Math.max(...inputs.map((input) => input.most))
  return new LowrankError(
    'data',
    `init_lora_weights eva needs batches of at least ${most} tokens that carry loss; no batch of the data has them`,
    {
      field: 'init',
      suggestion: 'a larger batch size, a smaller rank, or use_label_mask false in eva_config',
    },
  )
}
