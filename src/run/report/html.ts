/** @file HTML by template: whatever is put into it is escaped, unless it is HTML that was made here. Knows no page. */

/** Markup that is safe to put into a page: only `html` makes it. */
export interface Html {
  readonly markup: string
}

type Part = string | number | Html | readonly Html[] | undefined

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export function escapeHtml(text: string): string {
  // Control characters but tab and newline are not allowed in HTML at all: they are shown as a replacement character.
  return text.replace(/[&<>"']/g, (letter) => escapes[letter] ?? letter).replace(/[^\P{Cc}\t\n\r]/gu, '\ufffd')
}

/** `html\`<p>${text}</p>\``: texts and numbers are escaped, HTML and lists of it are kept, undefined is nothing. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { markup: strings.map((text, i) => text + (i < parts.length ? markupOf(parts[i]) : '')).join('') }
}

function markupOf(part: Part): string {
  if (part === undefined) return ''
  if (typeof part === 'string') return escapeHtml(part)
  if (typeof part === 'number') return String(part)
  if ('markup' in part) return part.markup
  return part.map((item) => item.markup).join('')
}
