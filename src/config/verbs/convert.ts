/** @file Options of convert. Must not know formats. */

import { boolean, choice, list, number, option, text } from '../option.ts'
import { type Conflict, isSet, needs, type Resolved, verb } from '../verb.ts'

const formats = ['loralib'] as const

export const convertVerb = verb(
  'convert',
  {
    path: option(
      'Input',
      text('PATH', 'a file, or a PEFT folder'),
      'What to convert: a file of another format, or a PEFT folder.',
    ),
    from: option(
      'Format',
      choice(formats, ['adapterhub', 'mlx', 'gguf']).optional(),
      'Format of the input; the output is a PEFT folder.',
    ),
    to: option(
      'Format',
      choice(formats, ['adapterhub', 'mlx', 'gguf']).optional(),
      'Format of the output; the input is a PEFT folder.',
    ),
    alpha: option(
      'Format',
      number({ above: 0 }).optional(),
      'lora_alpha of the layers, which loralib does not save: the update is scaled by alpha / rank.',
    ),
    enableLora: option(
      'Format',
      list('BOOLS', 'true or false for each part, as true,false,true').optional(),
      'Which parts of fused layers (MergedLinear) have an update.',
      { defaultText: 'true,false,true for two parts (query and value of GPT-2), all for more' },
    ),
    model: option(
      'Format',
      text('MODEL', 'a folder, lowrank-tiny, or a Hugging Face id').optional(),
      'Base of the adapter, written into its config; a folder is checked to have these modules.',
    ),
    output: option('Output', text('PATH', 'a folder, or a file with --to'), 'Folder to write; a file with `--to`.'),
    overwrite: option('Output', boolean().default(false), 'Replace what stands at the output.'),
  },
  {
    positional: 'path',
    examples: [
      {
        command: 'lowrank convert roberta_base_lora_mnli.bin --from loralib --alpha 16 --output mnli',
        does: 'a state file of microsoft/LoRA as a PEFT folder, the head in it',
      },
      { command: 'lowrank convert runs/mine --to loralib --output mine.bin', does: 'and back, for torch.load' },
    ],
    exclusive: [['from', 'to']],
    rules: [
      needs(['from', 'to'], 'convert needs {from} or {to}: the format that is not PEFT’s'),
      fromNeedsAlpha,
      toNeedsNothing,
    ],
    notes: 'The update of every layer stays the same; what the other format has no place for is refused by name.',
  },
)

function fromNeedsAlpha({ values }: Resolved): Conflict | undefined {
  if (!isSet(values.from) || isSet(values.alpha)) return undefined
  return { field: 'alpha', message: '{from} loralib needs {alpha}: the file does not hold it (16 in most examples)' }
}

function toNeedsNothing({ values }: Resolved): Conflict | undefined {
  if (!isSet(values.to)) return undefined
  const given = ['alpha', 'enableLora', 'model'].find((name) => isSet(values[name]))
  return given === undefined ? undefined : { field: given, message: `{${given}} says nothing with {to}` }
}
