/**
 * @file Which parameters get an update of their own (`target_parameters`), by full name or its end, as PEFT's
 * `_inject_parameters` finds them (peft/tuners/tuners_utils.py 0.21). Must not know what the update computes.
 */
import { isSite, type ModuleInfo, type ModuleParameter, type SiteModule } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import { listSome, type TargetMiss } from './target-report.ts'

const FIELD = 'target_parameters'

export interface ParameterTargets {
  /** Modules whose weight gets an update, in definition order. */
  readonly sites: readonly SiteModule[]
  /** Names that no parameter has. PEFT drops these in silence while another one is found. */
  readonly unmatched: readonly TargetMiss[]
}

/**
 * @param taken modules that `target_modules` names: they have an adapter already
 * @throws LowrankError `config` where a name takes a parameter that is no matrix, or one of a module with an adapter
 */
export function parameterTargets(
  modules: readonly ModuleInfo[],
  names: readonly string[],
  taken: readonly SiteModule[],
): ParameterTargets {
  const all = modules.flatMap((module) =>
    module.parameters.map((parameter) => ({ module, parameter, key: `${module.path}.${parameter.name}` })),
  )
  const means = (name: string, key: string): boolean => key === name || key.endsWith(`.${name}`)
  const found = all.filter(({ key }) => names.some((name) => means(name, key)))
  const others = new Set(taken.map(({ path }) => path))
  return {
    sites: found.map(({ module, parameter, key }) => siteOf(module, parameter, key, others)),
    unmatched: names
      .filter((name) => !all.some(({ key }) => means(name, key)))
      .map((name) => ({ name, nearest: nearestParameters(name, all) })),
  }
}

function siteOf(module: ModuleInfo, parameter: ModuleParameter, key: string, taken: ReadonlySet<string>): SiteModule {
  const refuse = (message: string, suggestion?: string): never => {
    throw new LowrankError('config', `${FIELD}: ${message}`, { field: FIELD, suggestion })
  }
  if (taken.has(module.path))
    refuse(`${module.path} is one of target_modules already, so ${key} cannot have an update too`, 'target_modules: []')
  if (!isSite(module) || parameter.shape.length !== 2)
    return refuse(`${key} is [${listSome(parameter.shape.map(String))}], and an update needs a matrix`)
  return module
}

function nearestParameters(name: string, all: readonly { readonly key: string }[]): string[] {
  const depth = name.split('.').length
  return nearest(
    name,
    all.map(({ key }) => key.split('.').slice(-depth).join('.')),
    3,
  )
}
