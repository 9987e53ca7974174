/** @file Labels of words that mark where entities begin and go on: O, B-…, I-…. Must not know models. */

export function isBio(labels: readonly string[]): boolean {
  return labels.some((label) => label.startsWith('B-')) && labels.every((label) => /^(O|[BI]-.+)$/.test(label))
}

/** Words `start` to `end` − 1. */
export interface EntitySpan {
  /** The label without B- and I-. */
  readonly kind: string
  readonly start: number
  readonly end: number
}

/** The entities of a text in order. An I- that goes on nothing of its kind begins one, as conlleval reads it. */
export function entitySpans(labels: readonly string[]): EntitySpan[] {
  const spans: EntitySpan[] = []
  let open: Omit<EntitySpan, 'end'> | undefined
  const close = (end: number): void => {
    if (open) spans.push({ ...open, end })
    open = undefined
  }
  for (const [at, label] of labels.entries()) {
    const kind = label.slice(2)
    if (label.startsWith('I-') && open?.kind === kind) continue
    close(at)
    if (label !== 'O') open = { kind, start: at }
  }
  close(labels.length)
  return spans
}
