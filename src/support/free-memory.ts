/** @file How much memory this process could still have. Must not know what for. */
import { readFile } from 'node:fs/promises'
import { freemem } from 'node:os'

/** Bytes that the kernel could give without swapping: free pages and caches, within a container's own limit. */
export async function freeMemory(): Promise<number> {
  const info = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(info)?.[1]
  const machine = available === undefined ? freemem() : Number(available) * 1024
  const [limit, used] = await Promise.all(
    ['memory.max', 'memory.current'].map(async (name) =>
      Number(await readFile(`/sys/fs/cgroup/${name}`, 'utf8').catch(() => 'max')),
    ),
  )
  const contained = (limit ?? Number.NaN) - (used ?? 0)
  return Number.isFinite(contained) ? Math.min(machine, contained) : machine
}
