/**
 * @file Names in an adapter's options that mean more to PEFT than they seem to: lowrank follows, so that files fit, and
 * says so while an adapter is made. Must not decide what matches (see target-match.ts, beside.ts).
 */
import { allPaths, lastSegment, type ModuleInfo } from '../models/modules.ts'
import type { LayoutOptions } from './method.ts'
import { inLayers } from './target-match.ts'
import { listSome } from './target-report.ts'

/** A line for each name that takes more than modules of that name. */
export function looseNotes(modules: readonly ModuleInfo[], options: LayoutOptions): string[] {
  return [...looseEnds(modules, options), ...namedInFull(modules, options)]
}

/** `modules_to_save` asks for the end of a name, dot or no dot: `norm` is the end of `input_layernorm` too. */
function looseEnds(modules: readonly ModuleInfo[], { modules_to_save: names }: LayoutOptions): string[] {
  return (names ?? []).flatMap((name) => {
    const also = allPaths(modules).filter((path) => path.endsWith(name) && path !== name && !path.endsWith(`.${name}`))
    if (also.length === 0) return []
    const kinds = listSome([...new Set(also.map(lastSegment))])
    return [`modules_to_save: ${name} also takes ${kinds}, because it ends like them; a full name takes that one alone`]
  })
}

/** A target named in full is adapted whatever `layers_to_transform` says. */
function namedInFull(modules: readonly ModuleInfo[], options: LayoutOptions): string[] {
  const { target_modules: targets } = options
  if (typeof targets === 'string' || !targets) return []
  const paths = new Set(allPaths(modules))
  const outside = targets.filter((name) => paths.has(name) && !inLayers(options, name))
  if (outside.length === 0) return []
  return [`layers_to_transform: does not keep out ${listSome(outside)}, which target_modules names in full`]
}
