/** @file The report's section on the rows: lengths, loss, padding, and the first row with what carries loss marked. */
import type { DataReport } from '../../data/data-report.ts'
import { count, percent, significant } from '../../support/human.ts'
import { type Html, html } from './html.ts'

export function dataSection(report: DataReport | undefined): Html {
  if (report === undefined) return html``
  const { lengths, padding, first, histogram } = report
  const used = (name: DataReport['batching']): string => (report.batching === name ? ' (this run)' : '')
  const facts: [string, string, string][] = [
    [
      'Rows',
      count(report.rows),
      `${report.format}${report.heldRows === undefined ? '' : `, ${count(report.heldRows)} held out`}`,
    ],
    ['Tokens', count(report.tokens), `${count(report.labelled)} with loss, ${percent(report.labelledShare)}`],
    [
      'Length',
      count(lengths.median),
      `median; ${count(lengths.min)} to ${count(lengths.max)}, 95 % up to ${count(lengths.p95)}`,
    ],
    ['Cut', percent(report.cutShare), `${count(report.cut)} rows longer than the maximal length`],
    [
      'Left out',
      count(report.skipped + report.unlabelled),
      `${count(report.skipped)} bad, ${count(report.unlabelled)} without loss`,
    ],
  ]
  const paddings: [string, number][] = [
    ['random order', padding.random],
    [`like lengths together${used('bucketed')}`, padding.bucketed],
    [`packed${used('packed')}`, padding.packed],
    ...(report.batching === 'file' ? ([[`order of the file${used('file')}`, report.used]] as [string, number][]) : []),
  ]
  const most = Math.max(1, ...histogram.map((bin) => bin.rows))
  const bar = (share: number): Html => html`<td class="bar"><i style="width:${significant(share * 100)}%"></i></td>`
  return html`<section><h2>Rows</h2>
<dl class="facts">${facts.map(([name, value, more]) => html`<div><dt>${name}</dt><dd>${value}<small>${more}</small></dd></div>`)}</dl>
<div class="pair"><div class="scroll"><table><thead><tr><th scope="col">tokens</th><th class="bar" aria-hidden="true"></th><th scope="col">rows</th></tr></thead><tbody>${histogram.map(
    (bin) =>
      html`<tr><th scope="row">${bin.to - bin.from === 1 ? count(bin.from) : `${count(bin.from)} to ${count(bin.to - 1)}`}</th>${bar(bin.rows / most)}<td>${count(bin.rows)}</td></tr>`,
  )}</tbody></table></div>
<div class="scroll"><table><thead><tr><th scope="col">padding with</th><th class="bar" aria-hidden="true"></th><th scope="col">share</th></tr></thead><tbody>${paddings.map(
    ([name, share]) => html`<tr><th scope="row">${name}</th>${bar(share)}<td>${percent(share)}</td></tr>`,
  )}</tbody></table></div></div>
<p class="note">${`The first row (${first.source}) as the model reads it${first.shown < first.tokens ? `, ${count(first.shown)} of ${count(first.tokens)} tokens` : ''}; what is marked carries loss.`}</p>
<div class="sample"><pre>${first.pieces.map(({ text, labelled }) => (labelled ? html`<mark>${text}</mark>` : html`${text}`))}</pre></div>
</section>`
}
