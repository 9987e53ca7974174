/**
 * @file Makes the `{% generation %}` blocks of a chat template visible in its output, so that the text a model itself
 * would write can be told from the rest.
 * Must not know tokens. Source: transformers' AssistantTracker (the tag), Jinja's whitespace control (trim_blocks and
 * lstrip_blocks on, as transformers compiles templates). @huggingface/jinja drops the tags.
 */
import { LowrankError } from '../support/errors.ts'

/** Half-open range of characters (UTF-16 units). */
export type Span = readonly [start: number, end: number]

/** Variables that the marked template prints where a block begins and ends. */
export const START = 'lowrank_generation_start'
export const END = 'lowrank_generation_end'

const COMMENT = /\{#[\s\S]*?#\}/g
const TAG = /((?<=^|\n)[ \t]*|)\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}(\n?)/g

/** Whether the template marks what the model writes. */
export function hasGenerationMarks(template: string): boolean {
  return /\{%[-+]?\s*generation\s*[-+]?%\}/.test(template.replace(COMMENT, ''))
}

/**
 * The template with each tag replaced by the printing of a variable. `-` controls stay with the printing; what
 * lstrip_blocks and trim_blocks would take around the tag is taken here, as they do not act on printing.
 */
export function printGenerationMarks(template: string): string {
  return template.replace(
    TAG,
    (_all, indent: string, left: string, end: string | undefined, right: string, newline) => {
      const print = `{{${left === '-' ? '-' : ''} ${end === undefined ? START : END} ${right === '-' ? '-' : ''}}}`
      return `${left === '+' ? indent : ''}${print}${right === '+' ? newline : ''}`
    },
  )
}

/** Takes the printed marks out again. */
export function takeMarks(rendered: string, start: string, end: string, file: string): { text: string; spans: Span[] } {
  const spans: Span[] = []
  let text = ''
  let open = -1
  for (const piece of rendered.split(/(?=\uE0F0)/u)) {
    const mark = piece.startsWith(start) ? start : piece.startsWith(end) ? end : ''
    if (mark === start && mark !== '') open = text.length
    else if (mark !== '') {
      if (open < 0) throw new LowrankError('format', `${file} ends a generation block it did not begin`, { file })
      spans.push([open, text.length])
      open = -1
    }
    text += piece.slice(mark.length)
  }
  return { text, spans }
}

/** Marks that do not occur in `content`. */
export function freshMarks(content: string): { start: string; end: string } {
  for (let n = 0; ; n++) {
    const [start, end] = [`\uE0F0s${n}\uE0F1`, `\uE0F0e${n}\uE0F1`]
    if (!content.includes(start) && !content.includes(end)) return { start, end }
  }
}
