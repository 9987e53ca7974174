/** @file Learning rate by step, as transformers' `get_*_schedule_with_warmup` have it. Must not know optimizers. */

export const SCHEDULES = ['constant', 'linear', 'cosine'] as const
export type ScheduleName = (typeof SCHEDULES)[number]

/** Share of the full rate, given how far past warm-up a step is (0…1). */
const DECAYS: { readonly [K in ScheduleName]: (progress: number) => number } = {
  constant: () => 1,
  linear: (progress) => Math.max(0, 1 - progress),
  cosine: (progress) => Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress))),
}

/** Warm-up steps: a whole number as it is, a share below 1 of all steps rounded up. */
export function warmupSteps(warmup: number, totalSteps: number): number {
  return warmup < 1 ? Math.ceil(warmup * totalSteps) : Math.round(warmup)
}

/** Steps between things that happen every so many: a whole number as it is, a share below 1 of all steps rounded up. */
export function everySteps(every: number, totalSteps: number): number {
  // 0.1 · 70 is a little more than 7 in binary.
  return every < 1 ? Math.ceil(every * totalSteps - 1e-9) : every
}

/** Factor on the learning rate at `step`, counted from 0. */
export function scheduleFactor(schedule: ScheduleName, step: number, warmup: number, totalSteps: number): number {
  if (step < warmup) return step / Math.max(1, warmup)
  return DECAYS[schedule]((step - warmup) / Math.max(1, totalSteps - warmup))
}
