/** @file Options of `train`. Must not know the training loop. */

import { boolean, option, text } from '../option.ts'
import { adapterOptions } from '../options/adapter.ts'
import { batching, rowOptions, trainingData } from '../options/data.ts'
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

/** An adapter that a run starts from brings its own method: with one, `lora` may only be the default. */
function silencedByMethod({ method, adapter }: Readonly<Record<string, unknown>>): readonly string[] {
  return method === 'lora' && isSet(adapter) ? [] : silentWith(method)
}

/** Options that say nothing with a method. */
export function silentWith(method: unknown): readonly string[] {
  if (method === 'lora') return bottleneckOnly
  if (method === 'full') return [...loraOnly, ...bottleneckOnly, 'adapter']
  if (method === 'houlsby') return loraOnly
  return [...loraOnly, ...(method === 'pfeiffer' || method === 'parallel' ? ['adapterInitStd'] : bottleneckOnly)]
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
    data: { ...trainingData.data, schema: trainingData.data.schema.optional() },
    evalData: trainingData.evalData,
    evalSplit: trainingData.evalSplit,
    output: option('Data', text('FOLDER', 'a folder').optional(), 'Run folder to write.', {
      defaultText: 'runs/<date>-<model>-<method>',
    }),
    ...adapterOptions,
    ...optimizerOptions,
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
      { command: 'lowrank train --resume --output runs/mine', does: 'go on with a stopped run, bit for bit' },
    ],
    exclusive: [
      ['resume', 'overwrite'],
      ['model', 'fromConfig'],
      ['evalData', 'evalSplit'],
    ],
    rules: [
      needs(['model', 'fromConfig', 'resume'], 'train needs {model}: a folder, lowrank-tiny, or a Hugging Face id'),
      needs(['data', 'resume'], 'train needs {data}: files of rows, or a folder with a train file'),
      resumeNeedsOutput,
      fromConfigNeedsFull,
      loraFaHasItsOptimizer,
    ],
    silenced: (values) => [
      ...silencedByMethod(values).map((name) => ({ name, by: 'method' })),
      ...(values.loraPlusRatio === 1 ? [{ name: 'loraPlusEmbeddingRate', by: 'loraPlusRatio' }] : []),
      ...(values.steps === undefined ? [] : [{ name: 'epochs', by: 'steps' }]),
    ],
    notes:
      'Writes adapter_config.json, adapter_model.safetensors, README.md, run.yaml, trainer_log.jsonl, report.html and ' +
      'checkpoint-N/. Ctrl-C saves a checkpoint and ends with exit code 130; a second Ctrl-C ends at once.',
  },
)

function resumeNeedsOutput({ values }: Resolved): Conflict | undefined {
  if (values.resume !== true || isSet(values.output)) return undefined
  return { field: 'output', message: '{resume} continues the run in {output}: name its folder' }
}

function fromConfigNeedsFull({ values, source }: Resolved): Conflict | undefined {
  if (!isSet(values.fromConfig) || values.method === 'full') return undefined
  const said = source('method') === 'default' ? 'add {method} full' : `{method} is ${values.method}`
  return { field: 'from-config', message: `{fromConfig} starts from random weights and trains them all: ${said}` }
}

function loraFaHasItsOptimizer({ values }: Resolved): Conflict | undefined {
  if (values.loraFa !== true || values.method !== 'lora') return undefined
  if (values.optimizer !== 'adamw')
    return { field: 'lora-fa', message: `{loraFa} projects gradients for AdamW: {optimizer} is ${values.optimizer}` }
  if (values.loraPlusRatio === 1) return undefined
  return { field: 'lora-fa', message: '{loraFa} leaves A as it is, so there is no rate for {loraPlusRatio} to be over' }
}
