/** @file An engine's times of a step, summed by op, by place in the model and by phase. Must not know engines. */
import type { Profile, Timing } from '../../engine/engine.ts'
import type { BenchProfile, BenchTiming } from '../types.ts'

/** Points of the memory curve. */
const POINTS = 400

export function profileFrom({ seconds, timings, held }: Profile, output: string): BenchProfile {
  const inside = sum(timings.map((t) => t.seconds))
  const phases = (['forward', 'backward', 'update'] as const).map((phase) => ({
    phase,
    seconds: sum(timings.filter((t) => t.phase === phase).map((t) => t.seconds)),
  }))
  return {
    seconds,
    outside: Math.max(0, 1 - inside / seconds),
    phases,
    ops: grouped(timings, ({ op }) => op),
    places: grouped(timings, ({ scope }) => scope.replace(/\.\d+(?=\.|$)/g, '.*') || '(outside)'),
    peakBytes: held.reduce((most, bytes) => Math.max(most, bytes), 0),
    memory: curve(timings, held, inside),
    output,
  }
}

function grouped(timings: readonly Timing[], nameOf: (timing: Timing) => string): BenchTiming[] {
  const groups = new Map<string, Timing[]>()
  for (const timing of timings) {
    const name = nameOf(timing)
    const group = groups.get(name)
    if (group) group.push(timing)
    else groups.set(name, [timing])
  }
  return [...groups].map(([name, own]) => timingOf(name, own)).sort((a, b) => b.seconds - a.seconds)
}

function timingOf(name: string, own: readonly Timing[]): BenchTiming {
  const of = (phase: Timing['phase']): number => sum(own.filter((t) => t.phase === phase).map((t) => t.seconds))
  const seconds = sum(own.map((t) => t.seconds))
  const products = own.filter((t) => t.flops > 0)
  const flops = sum(products.map((t) => t.flops))
  return {
    name,
    calls: own.length,
    seconds,
    forward: of('forward'),
    backward: of('backward'),
    update: of('update'),
    ...(flops > 0 ? { gflops: flops / sum(products.map((t) => t.seconds)) / 1e9 } : {}),
    gigabytes: seconds > 0 ? sum(own.map((t) => t.bytes)) / seconds / 1e9 : 0,
  }
}

/** The most held in each of equal stretches of the step's time. */
function curve(timings: readonly Timing[], held: readonly number[], inside: number): { at: number; bytes: number }[] {
  const most = new Map<number, number>()
  let at = 0
  timings.forEach((timing, i) => {
    at += timing.seconds
    const point = Math.min(POINTS - 1, Math.floor((at / inside) * POINTS))
    most.set(point, Math.max(most.get(point) ?? 0, held[i] ?? 0))
  })
  return [...most].map(([point, bytes]) => ({ at: (point + 1) / POINTS, bytes }))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
