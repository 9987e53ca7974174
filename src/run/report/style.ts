/** @file The report's stylesheet: light and dark by the reader's setting, printable, no outside fonts. Knows no data. */

export const style = `
:root { color-scheme: light dark;
  --page: #f6f5f1; --card: #fffefb; --ink: #1d1c1a; --soft: #66635c; --line: #e2dfd7; --grid: #ebe8e1;
  --train: #1f5fa8; --eval: #b8500a; --rate: #5a7d1f; --norm: #7a4fa3; --good: #2d7a46; --code: #f1efe9; }
@media (prefers-color-scheme: dark) { :root {
  --page: #161614; --card: #1f1f1c; --ink: #eceae4; --soft: #a09c92; --line: #34332f; --grid: #2b2a27;
  --train: #77b2f2; --eval: #f0a062; --rate: #a9cf66; --norm: #c3a0e8; --good: #7fcf9a; --code: #282724; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
header { margin-bottom: 2rem; }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 .35rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; letter-spacing: -0.005em; margin: 0 0 .2rem; }
header p, .note { color: var(--soft); margin: 0; }
.note { font-size: .875rem; max-width: 46rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.35rem 1.5rem 1.5rem; margin-top: 1.25rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.25rem; }
.pair > section { min-width: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1px; background: var(--line); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; margin: 0; }
.facts div { background: var(--card); padding: .95rem 1.15rem; }
.facts dt { color: var(--soft); font-size: .8125rem; }
.facts dd { margin: .1rem 0 0; font-size: 1.45rem; line-height: 1.2; font-weight: 600; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; white-space: nowrap; }
.facts small { display: block; color: var(--soft); font-size: .8125rem; font-weight: 400; letter-spacing: 0; white-space: normal; margin-top: .15rem; }
.train { --tone: var(--train); } .eval { --tone: var(--eval); } .rate { --tone: var(--rate); } .norm { --tone: var(--norm); }
svg { display: block; width: 100%; height: auto; margin-top: .6rem; overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid line { stroke: var(--grid); stroke-width: 1; shape-rendering: crispEdges; }
.curve { fill: none; stroke: var(--tone); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.curve.faint { stroke-width: 1; opacity: .38; }
.dot { fill: var(--card); stroke: var(--tone); stroke-width: 2; }
.points rect { fill: transparent; }
.points circle { fill: var(--tone); stroke: var(--card); stroke-width: 2; }
.points circle, .points text { opacity: 0; pointer-events: none; }
.points text { fill: var(--ink); font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 5px; stroke-linejoin: round; }
.points g:hover circle, .points g:hover text { opacity: 1; }
.legend { list-style: none; display: flex; gap: 1.25rem; padding: 0; margin: .5rem 0 0; font-size: .875rem; color: var(--soft); }
.legend li::before { content: ""; display: inline-block; width: 1.1rem; height: 3px; border-radius: 2px; background: var(--tone); margin-right: .5rem; vertical-align: .25em; }
.none { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: .9rem; font-variant-numeric: tabular-nums; font-size: .9375rem; }
th, td { text-align: right; padding: .42rem .5rem .42rem 1rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: .8125rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tfoot td { border-bottom: 0; font-weight: 600; }
tbody th { font-weight: 400; color: var(--ink); font-size: inherit; }
.bar { width: 34%; min-width: 8rem; }
.pair .bar { min-width: 3rem; width: 25%; }
.bar i { display: block; height: .55rem; border-radius: 3px; background: var(--train); min-width: 2px; }
.sample { border-top: 1px solid var(--line); padding: 1rem 0 0; margin-top: 1rem; }
.sample dl { display: grid; grid-template-columns: 5.5rem 1fr; gap: .4rem 1rem; margin: 0; }
.sample dt { color: var(--soft); font-size: .8125rem; padding-top: .3rem; }
.sample dd { margin: 0; min-width: 0; }
pre { margin: 0; font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--code); border-radius: 6px; padding: .3rem .6rem; }
.tuned pre { border-left: 3px solid var(--good); }
mark { background: color-mix(in srgb, var(--good) 24%, transparent); color: inherit; border-radius: 3px; }
.settings { columns: 2; column-gap: 2.5rem; margin-top: .4rem; }
.settings > div { break-inside: avoid; padding-top: .7rem; }
.settings h3 { font-size: .8125rem; font-weight: 500; color: var(--soft); margin: 0; }
.settings dl { margin: 0; }
.settings dl > div { display: flex; justify-content: space-between; gap: 1.5rem; border-bottom: 1px solid var(--line); padding: .22rem 0; font-size: .9375rem; }
.settings dd { margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
table.confusion { width: auto; }
.confusion caption { text-align: left; color: var(--soft); font-size: .8125rem; padding-bottom: .3rem; }
.confusion td { text-align: center; min-width: 3.2rem; padding: .42rem .6rem; border: 1px solid var(--card); }
.confusion .right { background: color-mix(in srgb, var(--good) calc(var(--shade) * .75), transparent); }
.confusion .wrong { background: color-mix(in srgb, var(--eval) calc(var(--shade) * .75), transparent); }
.scatter { max-width: 26rem; }
.scatter circle { fill: var(--train); fill-opacity: .45; }
footer { color: var(--soft); font-size: .8125rem; margin-top: 2rem; }
@media (max-width: 44rem) { main { padding: 1.5rem 1rem 3rem; } .pair { grid-template-columns: 1fr; } .settings { columns: 1; } section { padding: 1.1rem; } .sample dl { grid-template-columns: 1fr; gap: .15rem; } .wide svg text { font-size: 22px; } .wide .curve { stroke-width: 4; } .wide .curve.faint { stroke-width: 2; } .bar { display: none; } }
@media print { :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --grid: #ddd; --train: #1f5fa8; --eval: #b8500a; --rate: #5a7d1f; --norm: #7a4fa3; --good: #2d7a46; --code: #f4f4f4; }
  body { font-size: 11pt; } main { max-width: none; padding: 0; } section, .facts { break-inside: avoid; } }
`.trim()
