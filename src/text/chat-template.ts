/**
 * @file Conversations to text through a model's own chat template.
 * Must not know tokens or files, nor how a template is run. Source: transformers' apply_chat_template (5.24).
 */
import { LowrankError } from '../support/errors.ts'
import {
  END,
  freshMarks,
  hasGenerationMarks,
  printGenerationMarks,
  type Span,
  START,
  takeMarks,
} from './generation-marks.ts'
import { callOurStrips, STRIPS } from './strip-calls.ts'
import { parseTemplate, runTemplate } from './template-interpreter.ts'

/** One turn as rows hold it; templates may read more fields than these. */
export interface Message {
  role: string
  content?: unknown
  [field: string]: unknown
}

export interface RenderOptions {
  /** Tool descriptions (JSON schemas), for templates that take them. */
  tools?: readonly unknown[] | undefined
  /** End with the header of an assistant turn, ready to be continued. Default false. */
  addGenerationPrompt?: boolean
  /** More variables for the template (`enable_thinking` …). */
  variables?: Readonly<Record<string, unknown>>
}

export interface ChatTemplateParts {
  /** Templates by name; `default` is used, or `tool_use` where there are tools. */
  templates: Readonly<Record<string, string>>
  /** File that errors name. */
  file: string
  /** `bos_token`, `eos_token` … */
  specialTokens: Readonly<Record<string, string>>
}

type ParsedTemplate = ReturnType<typeof parseTemplate>

/** A chat template. Compiled on first use: a broken one troubles only who uses it. */
export class ChatTemplate {
  readonly file: string
  readonly #templates: Readonly<Record<string, string>>
  readonly #specialTokens: Readonly<Record<string, string>>
  readonly #compiled = new Map<string, ParsedTemplate>()

  constructor(parts: ChatTemplateParts) {
    this.file = parts.file
    this.#templates = parts.templates
    this.#specialTokens = parts.specialTokens
  }

  /** Whether `{% generation %}` marks tell what the model writes. */
  hasMarks(tools?: readonly unknown[]): boolean {
    return hasGenerationMarks(this.#source(tools))
  }

  /** Whether the template names a variable or field at all: what it does not name, it leaves out. */
  mentions(name: string, tools?: readonly unknown[]): boolean {
    return new RegExp(`\\b${name}\\b`).test(this.#source(tools).replace(/\{#[\s\S]*?#\}/g, ''))
  }

  /** @throws LowrankError `data` where the template refuses the messages, `format` where it is broken itself */
  render(messages: readonly Message[], options: RenderOptions = {}): string {
    return this.#run(this.#source(options.tools), messages, options, {})
  }

  /** The same text, with the ranges that the template marks as the model's own. */
  renderMarked(messages: readonly Message[], options: RenderOptions = {}): { text: string; spans: Span[] } {
    const { start, end } = freshMarks(JSON.stringify([messages, options]))
    const source = printGenerationMarks(this.#source(options.tools))
    const rendered = this.#run(source, messages, options, { [START]: start, [END]: end })
    return takeMarks(rendered, start, end, this.file)
  }

  #source(tools: readonly unknown[] | undefined): string {
    const name = tools !== undefined && this.#templates.tool_use !== undefined ? 'tool_use' : 'default'
    const source = this.#templates[name]
    if (source !== undefined) return source
    const names = Object.keys(this.#templates).join(', ') || 'none'
    throw new LowrankError('format', `${this.file} has no chat template named ${name} (it has: ${names})`, {
      file: this.file,
      field: 'chat_template',
    })
  }

  #run(source: string, messages: readonly Message[], options: RenderOptions, marks: Record<string, string>): string {
    const template = this.#compile(source)
    try {
      return runTemplate(template, {
        ...this.#specialTokens,
        ...options.variables,
        ...marks,
        ...STRIPS,
        messages: messages.map(asTransformers),
        tools: options.tools ?? null,
        documents: null,
        add_generation_prompt: options.addGenerationPrompt ?? false,
      })
    } catch (cause) {
      throw new LowrankError('data', `the chat template in ${this.file} refuses these messages: ${reasonOf(cause)}`, {
        file: this.file,
        field: 'chat_template',
        cause,
      })
    }
  }

  #compile(source: string): ParsedTemplate {
    const found = this.#compiled.get(source)
    if (found !== undefined) return found
    try {
      const template = parseTemplate(source)
      callOurStrips(template)
      this.#compiled.set(source, template)
      return template
    } catch (cause) {
      throw new LowrankError('format', `the chat template in ${this.file} cannot be read: ${reasonOf(cause)}`, {
        file: this.file,
        field: 'chat_template',
        cause,
      })
    }
  }
}

/** Names that reasoning goes by; the first is the one that templates read, gpt-oss's reads `thinking`. */
const REASONING = ['reasoning_content', 'thinking', 'reasoning']

/** A message as apply_chat_template hands it on: fields that are null left out, reasoning under the names templates read. */
function asTransformers(message: Message): Record<string, unknown> {
  const fields = Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null))
  const reasoning = REASONING.map((name) => fields[name]).find((value) => value !== undefined)
  return reasoning === undefined ? fields : { thinking: reasoning, ...fields, reasoning_content: reasoning }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof RangeError) return 'it is nested too deeply'
  return cause instanceof Error ? cause.message : String(cause)
}
