/**
 * @file `embed`: a vector a text, from the last hidden state of an encoder or a decoder; once, or by an embedder that is
 * kept open. Must not know a terminal.
 */
import { extname } from 'node:path'
import { resolveOptions } from '../config/resolve.ts'
import type { EmbedOptions, EmbedSettings } from '../config/verbs/index.ts'
import type { RowSource } from '../data/rows.ts'
import { writeSafetensors } from '../formats/tensor-files.ts'
import { writeFileAtomic } from '../support/atomic-write.ts'
import { LowrankError } from '../support/errors.ts'
import { pathKind } from '../support/files.ts'
import { f32 } from '../tensor/host-tensor.ts'
import { asRow } from './classify.ts'
import type { Watched } from './evaluate.ts'
import { evaluationFiles } from './evaluation-files.ts'
import { disposeReader, type OpenReader, type OpenSeat, openReader, readThrough } from './open-reader.ts'
import { rowColumnNames } from './row-columns.ts'
import type { TextRow } from './types.ts'

/** What opens an embedder: the options of `embed` that name the model, its adapters, its engine and the kind of vector. */
export type OpenEmbedderOptions = Omit<
  EmbedOptions,
  'text' | 'textPair' | 'data' | 'columns' | 'output' | 'overwrite'
> &
  Watched

export interface EmbedCall extends Watched {
  /** Name of the adapter that reads rows which name none; needed where there are several. */
  readonly adapter?: string | undefined
}

/** An embedder that stays open. Dispose it when done. */
export class Embedder {
  readonly #open: OpenReader
  readonly #normalize: boolean

  /** Use {@link openEmbedder}. */
  constructor(open: OpenReader, normalize: boolean) {
    this.#open = open
    this.#normalize = normalize
  }

  /** Length of a vector. */
  get dimensions(): number {
    return this.#open.seats[0]?.model.config.hiddenSize ?? 0
  }

  /**
   * A vector a text (or row, as data files have it), `f32[dimensions]`, in their order. Calls may overlap.
   * @throws LowrankError `data` naming the row, `usage` naming an adapter that is not there with the nearest that is
   */
  async embed(rows: readonly (string | TextRow)[], call: EmbedCall = {}): Promise<Float32Array[]> {
    if (rows.length === 0) return []
    return await vectorsOf(this.#open, [rows.map(asRow)], this.#normalize, call)
  }

  /** Ends what runs and frees the engine. */
  async dispose(): Promise<void> {
    await disposeReader(this.#open)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }
}

/**
 * Opens an embedder, with adapters where any are named, and keeps it.
 * @throws LowrankError `missing`, `format`, `config`, `unsupported`, naming file and field
 */
export async function openEmbedder({ signal, onProgress, ...options }: OpenEmbedderOptions): Promise<Embedder> {
  const settings = resolveOptions('embed', { ...options, text: '' })
  return new Embedder(await openFor(settings, { signal, onProgress }), settings.normalize)
}

/**
 * A vector for one text, for the rows of files, or for `rows` of memory, `f32[hidden]` each, in their order; written to
 * `output` as well where it is named.
 * @throws LowrankError as {@link openEmbedder}; `data` naming file, line and field
 */
export async function embed({
  rows,
  signal,
  onProgress,
  ...options
}: EmbedOptions & Watched & { rows?: readonly (string | TextRow)[] }): Promise<Float32Array[]> {
  const settings = resolveOptions('embed', rows ? { ...options, text: '' } : options)
  const { text, textPair, data, output } = settings
  const write = output === undefined ? undefined : await writerFor(output, settings.overwrite)
  const single = { text: text ?? '', ...(textPair === undefined ? {} : { text_pair: textPair }) }
  const sources: RowSource[] = rows ? [rows.map(asRow)] : data ? await evaluationFiles(data) : [[single]]
  const open = await openFor(settings, { signal, onProgress })
  try {
    const columns = rowColumnNames(settings.columns)
    const vectors = await vectorsOf(open, sources, settings.normalize, { columns, signal, onProgress })
    await write?.(vectors)
    return vectors
  } finally {
    await disposeReader(open)
  }
}

async function openFor(settings: EmbedSettings, { signal, onProgress }: Watched): Promise<OpenReader> {
  const check = ({ model }: OpenSeat): void => {
    if (settings.pooling !== 'cls' || model.spec.task !== 'causal-lm') return
    throw new LowrankError(
      'usage',
      `pooling cls: the first token of ${model.modelType}, a decoder, has seen no other`,
      {
        ...{ field: 'pooling', suggestion: 'mean' },
      },
    )
  }
  return await openReader(settings, settings.pooling, check, { signal, onEvent: onProgress })
}

async function vectorsOf(
  open: OpenReader,
  sources: readonly RowSource[],
  normalize: boolean,
  settings: Omit<Parameters<typeof readThrough>[2], 'label' | 'unitOf'>,
): Promise<Float32Array[]> {
  const read = await readThrough(open, sources, { ...settings, label: 'embed', unitOf: () => 'whole' })
  return read.map(({ values }) => (normalize ? unit(values) : values))
}

/** The vector over its length; one of zeros stays. */
function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0))
  return length === 0 ? vector : vector.map((x) => x / length)
}

/** Name of the tensor in a safetensors file of vectors. */
const TENSOR = 'embeddings'

/** @throws LowrankError `usage` for a file that is there, or of a kind that is not written */
async function writerFor(
  file: string,
  overwrite: boolean,
): Promise<(vectors: readonly Float32Array[]) => Promise<void>> {
  const write = WRITERS[extname(file).toLowerCase()]
  if (!write)
    throw new LowrankError('usage', `output ${file}: vectors are written as .safetensors or .jsonl`, {
      ...{ file, field: 'output', suggestion: `${file}.safetensors` },
    })
  if (!overwrite && (await pathKind(file)) !== undefined)
    throw new LowrankError('usage', `there is a file ${file} already`, {
      ...{ file, field: 'output', suggestion: 'name another, or --overwrite it' },
    })
  return (vectors) => write(file, vectors)
}

const WRITERS: Readonly<Record<string, (file: string, vectors: readonly Float32Array[]) => Promise<void>>> = {
  async '.safetensors'(file, vectors) {
    const width = vectors[0]?.length ?? 0
    const all = new Float32Array(vectors.length * width)
    for (const [row, vector] of vectors.entries()) all.set(vector, row * width)
    await writeSafetensors(file, new Map([[TENSOR, f32([vectors.length, width], all)]]))
  },
  async '.jsonl'(file, vectors) {
    const lines = vectors.map((vector) => `${JSON.stringify({ embedding: Array.from(vector) })}\n`)
    await writeFileAtomic(file, lines.join(''))
  },
}
