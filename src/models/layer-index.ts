/** @file Which layer of the stack a module stands in. Must not know graphs or training. */
import type { Model } from './model.ts'

/** From 0 at the bottom; undefined outside of the stack. @param path of a module, or of what sits on one */
export function layerOf({ blockOf }: Pick<Model, 'blockOf'>, path: string): number | undefined {
  const block = blockOf(path)
  return block === undefined ? undefined : Number(/\d+$/.exec(block)?.[0])
}

/** Layers of the stack. */
export function layerCount(model: Pick<Model, 'blockOf' | 'modules'>): number {
  return model.modules.reduce((most, { path }) => Math.max(most, 1 + (layerOf(model, path) ?? -1)), 0)
}
