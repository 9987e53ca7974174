/** @file Options of `train`. Must not know the training loop. */

import { boolean, kebab, option, text } from '../option.ts'
import { adapterOptions } from '../options/adapter.ts'
import { batching, rowOptions, trainingData } from '../options/data.ts'
import { fewSampleOptions } from '../options/few-sample.ts'
import { dtypeOption, engineOptions, printGraphOption, recomputeOption } from '../options/machine.ts'
import { modelOption, modelSource } from '../options/model.ts'
import { prefixOptions } from '../options/prefix.ts'
import { optimizerOptions, savingOptions, seedOptions } from '../options/training.ts'
import { type Conflict, isSet, needs, type Resolved, verb } from '../verb.ts'

/** Options that say nothing unless the method is LoRA. */
export const loraOnly: readonly string[] = [
  ...['rank', 'alpha', 'dropout', 'targets', 'exclude', 'layers', 'bias', 'modulesToSave', 'rslora', 'dora'],
  ...['init', 'initForm', 'loraConfig', 'loraPlusRatio', 'loraPlusEmbeddingRate', 'loraFa'],
]

/** Options that say nothing unless the method puts bottlenecks in. */
export const bottleneckOnly: readonly string[] = ['bottleneck', 'adapterInitStd', 'adapterDrop']

/** Options that need weights of the model itself to be trained: in its layers, or above the last of them. */
export const fullOnly: readonly string[] = ['reinitLayers', 'mixout', 'mixoutMask']
export const ownWeightsOnly: readonly string[] = ['reinitPooler', 'priorDecay']
/** Options that look at weights which a model from a config does not have. */
const pretrainedOnly = ['reinitLayers', 'reinitPooler', 'mixout', 'priorDecay', 'newHead']

/** An adapter that a run starts from brings its own method: with one, `lora` may only be the default. */
function silencedByMethod({ method, adapter }: Readonly<Record<string, unknown>>): readonly string[] {
  return method === 'lora' && isSet(adapter) ? [] : silentWith(method)
}

/** Options that say nothing with a method. */
export function silentWith(method: unknown): readonly string[] {
  if (method === 'lora') return [...bottleneckOnly, ...fullOnly, ...ownWeightsOnly]
  if (method === 'full') return [...loraOnly, ...bottleneckOnly, 'adapter']
  if (method === 'houlsby') return [...loraOnly, ...fullOnly]
  return [
    ...loraOnly,
    ...fullOnly,
    ...(method === 'pfeiffer' || method === 'parallel' ? ['adapterInitStd'] : bottleneckOnly),
  ]
}

export const trainVerb = verb(
  'train',
  {
    model: { ...modelOption, schema: modelOption.schema.optional() },
    ...modelSource,
    fromConfig: option(
      'Model',
      text('FILE', 'a config.json').optional(),
      'Start from random weights of this config.json, with `--method full`.',
    ),
    adapter: option(
      'Model',
      text('PATH', 'an adapter folder').optional(),
      'Start from this adapter’s weights; method and settings come from its folder.',
    ),
    newHead: option(
      'Model',
      boolean().default(false),
      'Leave the head that the model (or the adapter) has been trained with, and draw one for the rows’ labels.',
    ),
    data: { ...trainingData.data, schema: trainingData.data.schema.optional() },
    evalData: trainingData.evalData,
    evalSplit: trainingData.evalSplit,
    splitSeed: trainingData.splitSeed,
    testData: trainingData.testData,
    output: option('Data', text('FOLDER', 'a folder').optional(), 'Run folder to write.', {
      defaultText: 'runs/<date>-<model>-<method>',
    }),
    ...adapterOptions,
    ...optimizerOptions,
    ...fewSampleOptions,
    ...batching,
    ...rowOptions,
    ...savingOptions,
    ...seedOptions,
    ...engineOptions,
    ...prefixOptions,
    dtype: dtypeOption,
    recompute: recomputeOption,
    printGraph: printGraphOption,
    dryRun: option(
      'Data',
      boolean().default(false),
      'Check everything, show what the rows are and what they cost, and end before training; nothing is written.',
    ),
  },
  {
    examples: [
      { command: 'lowrank train --model lowrank-tiny --data rows.jsonl', does: 'train an adapter with the defaults' },
      {
        command: 'lowrank train --model HuggingFaceTB/SmolLM2-135M --data train.jsonl --eval-split 0.05 --rank 16',
        does: 'download a base, hold 5 % of the rows out to evaluate on',
      },
      {
        command: 'lowrank train --config run.yaml --learning-rate 1e-4',
        does: 'take options from a file; the flag wins',
      },
      {
        command: 'lowrank train --model bert-base-uncased --data rows.csv --eval-split 0.3 --recipe few-sample',
        does: 'fine-tune an encoder on few rows',
      },
      { command: 'lowrank train --resume --output runs/mine', does: 'go on with a stopped run, bit for bit' },
    ],
    exclusive: [
      ['resume', 'overwrite'],
      ['model', 'fromConfig'],
      ['evalData', 'evalSplit'],
    ],
    rules: [
      needs(
        ['model', 'fromConfig', 'resume', 'adapter'],
        'train needs {model}: a folder, lowrank-tiny, or a Hugging Face id',
      ),
      needs(['data', 'resume'], 'train needs {data}: files of rows, or a folder with a train file'),
      resumeNeedsOutput,
      fromConfigNeedsFull,
      splitSeedNeedsSplit,
      loraFaHasItsOptimizer,
      wholeStepsOrShare('evalEvery'),
      wholeStepsOrShare('saveEvery'),
    ],
    silenced: (values) => [
      ...silencedByMethod(values).map((name) => ({ name, by: 'method' })),
      ...(values.loraPlusRatio === 1 ? [{ name: 'loraPlusEmbeddingRate', by: 'loraPlusRatio' }] : []),
      ...(values.mixout === 0 ? [{ name: 'mixoutMask', by: 'mixout' }] : []),
      ...(isSet(values.fromConfig) ? pretrainedOnly.map((name) => ({ name, by: 'fromConfig' })) : []),
      ...(values.steps === undefined ? [] : [{ name: 'epochs', by: 'steps' }]),
    ],
    notes:
      'Writes the adapter (of a LoRA adapter_config.json, adapter_model.safetensors and README.md; of other methods the ' +
      'files that docs/encoders.md names), run.yaml, trainer_log.jsonl, report.html and ' +
      'checkpoint-N/. Ctrl-C saves a checkpoint and ends with exit code 130; a second Ctrl-C ends at once.',
  },
)

function wholeStepsOrShare(name: string): (resolved: Resolved) => Conflict | undefined {
  return ({ values }) => {
    const every = Number(values[name])
    if (every < 1 || Number.isInteger(every)) return undefined
    return { field: kebab(name), message: `{${name}} is a whole number of steps, or a share of them below 1` }
  }
}

function resumeNeedsOutput({ values }: Resolved): Conflict | undefined {
  if (values.resume !== true || isSet(values.output)) return undefined
  return { field: 'output', message: '{resume} continues the run in {output}: name its folder' }
}

function fromConfigNeedsFull({ values, source }: Resolved): Conflict | undefined {
  if (!isSet(values.fromConfig) || values.method === 'full') return undefined
  const said = source('method') === 'default' ? 'add {method} full' : `{method} is ${values.method}`
  return { field: 'from-config', message: `{fromConfig} starts from random weights and trains them all: ${said}` }
}

function splitSeedNeedsSplit({ values }: Resolved): Conflict | undefined {
  if (values.splitSeed === undefined || values.evalSplit !== undefined) return undefined
  return { field: 'split-seed', message: '{splitSeed} chooses the rows that {evalSplit} holds out: give a share too' }
}

function loraFaHasItsOptimizer({ values }: Resolved): Conflict | undefined {
  if (values.loraFa !== true || values.method !== 'lora') return undefined
  if (values.optimizer !== 'adamw')
    return { field: 'lora-fa', message: `{loraFa} projects gradients for AdamW: {optimizer} is ${values.optimizer}` }
  if (values.loraPlusRatio === 1) return undefined
  return { field: 'lora-fa', message: '{loraFa} leaves A as it is, so there is no rate for {loraPlusRatio} to be over' }
}
