/** @file What this machine is: processor and its vector units, memory, also inside a container. Must not know engines. */
import { readFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import type { Machine } from '../types.ts'

export function describeMachine(): Machine {
  const machine: Machine = {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    freeMemoryBytes: availableBytes() ?? freemem(),
    system: `${platform()} ${release()} ${arch()}`,
  }
  const flags = vectorFlags()
  const limit = containerLimit()
  if (flags !== undefined) machine.flags = flags
  if (limit !== undefined && limit < machine.memoryBytes) machine.memoryLimitBytes = limit
  return machine
}

function vectorFlags(): Machine['flags'] {
  if (arch() === 'arm64') return { avx2: false, avx512: false, amx: false, neon: true }
  const line = /^flags\s*:(.*)$/m.exec(readIfThere('/proc/cpuinfo'))?.[1]
  if (line === undefined) return undefined
  const flags = new Set(line.trim().split(/\s+/))
  return { avx2: flags.has('avx2'), avx512: flags.has('avx512f'), amx: flags.has('amx_tile'), neon: false }
}

/** Memory that programs can have without swapping: free, and what the page cache would give back. */
function availableBytes(): number | undefined {
  const kilobytes = /^MemAvailable:\s*(\d+) kB/m.exec(readIfThere('/proc/meminfo'))?.[1]
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
}

/** Memory limit of the control group, version 2 or 1. */
function containerLimit(): number | undefined {
  for (const file of ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']) {
    const limit = Number.parseInt(readIfThere(file), 10)
    if (Number.isFinite(limit)) return limit
  }
  return undefined
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
