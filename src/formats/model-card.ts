/**
 * @file Writes the README.md of an adapter: PEFT's front matter, then what a reader wants to know.
 * Must not know files or training. Source: peft `PeftModel.create_or_update_model_card`, Hugging Face model cards.
 */
import { PEFT_VERSION } from './peft-config.ts'
import type { PeftLoraConfig } from './peft-fields.ts'

export interface CardOptions {
  config: PeftLoraConfig
  /** Rows for a table of results or settings, in order: ["Evaluation loss", "1.234"]. */
  facts?: readonly (readonly [string, string])[]
}

/** A model card that the Hugging Face Hub understands; the same adapter gives the same text. */
export function renderModelCard({ config, facts = [] }: CardOptions): string {
  const base = config.base_model_name_or_path
  const tags = ['lora', 'transformers', ...(base === null ? [] : [`base_model:adapter:${base}`])].sort()
  const front = [
    ...(base === null ? [] : [`base_model: ${yamlText(base)}`]),
    'library_name: peft',
    ...(config.task_type === 'CAUSAL_LM' ? ['pipeline_tag: text-generation'] : []),
    'tags:',
    ...tags.map((tag) => `- ${yamlText(tag)}`),
  ]
  const settings: [string, string][] = [
    ['Rank', String(config.r)],
    ['Alpha', String(config.lora_alpha)],
    ['Dropout', String(config.lora_dropout)],
    ['Targets', describeTargets(config.target_modules)],
  ]
  const rows = [...settings, ...facts].map(([name, value]) => `| ${cell(name)} | ${cell(value)} |`)
  return `---
${front.join('\n')}
---

# LoRA adapter${base === null ? '' : ` for ${base}`}

Trained with [lowrank](https://www.npmjs.com/package/lowrank); opens in PEFT as it is.

| | |
|---|---|
${rows.join('\n')}

\`\`\`python
from peft import PeftModel
model = PeftModel.from_pretrained(base_model, "path/to/this/folder")
\`\`\`

### Framework versions

- PEFT ${PEFT_VERSION}
`
}

function describeTargets(targets: PeftLoraConfig['target_modules']): string {
  if (targets === null) return 'the default of the model type'
  return typeof targets === 'string' ? targets : targets.join(', ')
}

/** A pipe or line break would end the cell. */
function cell(text: string): string {
  return text.replace(/\|/g, '\\|').replace(/\s*\n\s*/g, ' ')
}

/** Plain where YAML cannot read it as anything but text, else quoted as JSON, which YAML includes. */
function yamlText(text: string): string {
  const plain =
    /^[A-Za-z./][\w./-]*(:[\w./-]+)*$/.test(text) && !/^(true|false|null|yes|no|on|off|\.?inf|\.?nan)$/i.test(text)
  return plain ? text : JSON.stringify(text)
}
