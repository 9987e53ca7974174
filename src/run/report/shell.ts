/** @file The frame of every report page: one file, no network, no script. Must not know what stands in it. */
import { type Html, html } from './html.ts'
import { style } from './style.ts'

export interface Page {
  readonly title: string
  readonly heading: string
  /** One line below the heading. */
  readonly below: string
  readonly body: Html
  readonly footer: string
}

/** The whole page as text. */
export function renderShell({ title, heading, below, body, footer }: Page): string {
  const page = html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${{ markup: style }}</style>
</head>
<body>
<main>
<header>
<h1>${heading}</h1>
<p>${below}</p>
</header>
${body}
<footer>${footer}</footer>
</main>
</body>
</html>
`
  return `<!doctype html>\n${page.markup}`
}

/** Name, value and a word more of each. */
export function factList(items: readonly (readonly [string, string, string])[]): Html {
  return html`<dl class="facts">${items.map(([name, value, more]) => html`<div><dt>${name}</dt><dd>${value}<small>${more}</small></dd></div>`)}</dl>`
}
