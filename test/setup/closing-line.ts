/** @file Prints the closing line `N passed, N failed[, N skipped]` that scripts read. */
import type { Reporter, TestModule } from 'vitest/node'

export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    let [passed, failed, skipped] = [0, unhandled.length, 0]
    for (const module of modules) {
      let any = false
      for (const test of module.children.allTests()) {
        any = true
        const state = test.result().state
        if (state === 'passed') passed++
        else if (state === 'failed') failed++
        else skipped++
      }
      if (!any && module.state() === 'failed') failed++ // a file that did not even load
    }
    // The default reporter prints its summary in the same turn: wait for it, so that this line is the last.
    setImmediate(() =>
      process.stdout.write(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}\n`),
    )
  }
}
