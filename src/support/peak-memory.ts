/** @file The most memory this process has held. Must not know who asks. */
import { readFileSync } from 'node:fs'

/** Highest resident size of this process in bytes, engine threads and mapped weights included, as the kernel counts it. */
export function peakMemoryBytes(): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    if (kilobytes !== undefined) return Number(kilobytes) * 1024
  } catch {
    // Not Linux: what the system library says.
  }
  return process.resourceUsage().maxRSS * 1024
}
