/** @file The architecture in one place: the order of folders and what each may not touch besides. */

/** A folder may import from itself and from those before it. */
export const ORDER = [
  'support',
  'tensor',
  'linalg',
  'graph',
  'ops',
  'autodiff',
  'passes',
  'engine',
  'engines/reference',
  'engines/onnxruntime',
  'formats',
  'text',
  'models',
  'peft',
  'data',
  'train',
  'layers',
  'infer',
  'hub',
  'config',
  'run',
  'cli',
  'index.ts',
] as const

const GRAPHS = ['graph', 'ops', 'autodiff', 'passes']
const ENGINES = ['engine', 'engines/reference', 'engines/onnxruntime']

/** Folders that stand late in the order and still must not know some of those before them. */
export const BLIND: { readonly [folder: string]: readonly string[] } = {
  // Two engines are two answers to one question: what they share belongs to engine/.
  'engines/onnxruntime': ['engines/reference'],
  formats: [...GRAPHS, ...ENGINES],
  text: [...GRAPHS, ...ENGINES],
  // Which engine runs a graph is decided in run/ alone.
  models: ['engines/reference', 'engines/onnxruntime'],
  peft: ['engines/reference', 'engines/onnxruntime'],
  data: [...GRAPHS, ...ENGINES, 'models', 'peft'],
  train: ['engines/reference', 'engines/onnxruntime'],
  layers: ['engines/reference', 'engines/onnxruntime', 'text', 'data'],
  infer: ['engines/reference', 'engines/onnxruntime', 'train', 'layers'],
  // The hub asks formats which files a model folder needs, and nothing else of anyone.
  hub: [...GRAPHS, ...ENGINES, 'text', 'models', 'peft', 'data', 'train', 'infer'],
  config: ORDER.slice(1, ORDER.indexOf('config')),
}

/** The folders that may import a package. A package that is not here may be imported by none. */
export const HOMES: { readonly [prefix: string]: readonly string[] } = {
  'onnxruntime-': ['engines/onnxruntime'],
  '@huggingface/tokenizers': ['text'],
  '@huggingface/jinja': ['text'],
  '@huggingface/hub': ['hub'],
  hyparquet: ['data'],
  yaml: ['config', 'run'],
  zod: ['config', 'formats'],
}

/** What only the command line may touch. */
export const TERMINAL = [
  'process.stdout',
  'process.stderr',
  'process.stdin',
  'process.exit',
  'process.exitCode',
  'console',
]

/** Lines a file may have: above the first it is named, above the second it fails. */
export const FILE_LINES = { soft: 300, hard: 500 }
/** Lines a function may have, the same way; functions nested in it count apart. */
export const FUNCTION_LINES = { soft: 50, hard: 60 }
