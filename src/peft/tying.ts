/**
 * @file Adapters on an embedding and the head tied to it (`ensure_weight_tying`): one pair of factors, or one trained
 * copy, for both, as PEFT's `_check_tied_modules` arranges it (peft/tuners/tuners_utils.py, lora/model.py 0.21).
 * Must not know tensor values, graphs or files.
 */
import { lastSegment, type ModuleInfo, type SiteModule } from '../models/modules.ts'
import { LowrankError } from '../support/errors.ts'
import type { AdapterTensor } from './adapter-layout.ts'
import type { AdapterSite, LayoutOptions } from './method.ts'
import { pythonFullMatch, pythonMatch } from './python-regex.ts'

/** Names PEFT knows embeddings by (EMBEDDING_LAYER_NAMES). */
export const EMBEDDING_NAMES: readonly string[] = ['embed_tokens', 'lm_head']

const FIELD = 'ensure_weight_tying'

export interface Tying {
  /** The options with the embedding in place of the heads, as PEFT saves them. */
  readonly options: LayoutOptions
  /** What embedding and heads share: a pair of factors, or a trained copy. */
  readonly shares?: 'factors' | 'copy'
  readonly embedding?: ModuleInfo
  readonly heads: readonly ModuleInfo[]
  readonly notes: readonly string[]
}

/** What `ensure_weight_tying` makes of an adapter's options. @throws LowrankError `config` for a start that two cannot share */
export function tyingOf(modules: readonly ModuleInfo[], options: LayoutOptions): Tying {
  const tying = arrange(modules, options)
  const init = options.init_lora_weights ?? true
  if (tying.shares === 'factors' && typeof init === 'string' && init !== 'gaussian')
    throw new LowrankError('config', `${FIELD}: shared factors start true, false or gaussian, not ${init}`, {
      field: 'init_lora_weights',
    })
  return tying
}

function arrange(modules: readonly ModuleInfo[], options: LayoutOptions): Tying {
  const none = { options, heads: [], notes: [] }
  if (!options.ensure_weight_tying) return none
  const embedding = modules.find((module) => module.isInputEmbedding)
  const heads = modules.filter((module) => module.tiedTo !== undefined && module.tiedTo === embedding?.path)
  if (!embedding || heads.length === 0) return { ...none, notes: [`${FIELD}: the model ties no head to its embedding`] }
  const saved = options.modules_to_save ?? []
  const targets = options.target_modules ?? []
  const isName = (name: string): boolean => EMBEDDING_NAMES.includes(lastSegment(name))
  if (saved.some(isName)) {
    const modules_to_save = tiedNames(saved, embedding, heads)
    return { options: { ...options, modules_to_save }, shares: 'copy', embedding, heads, notes: [] }
  }
  if (typeof targets !== 'string' && targets.some(isName)) {
    const target_modules = tiedNames(targets, embedding, heads)
    return { options: { ...options, target_modules }, shares: 'factors', embedding, heads, notes: [] }
  }
  // The expression is asked of the short names, as PEFT does.
  if (typeof targets === 'string' && EMBEDDING_NAMES.some((name) => pythonFullMatch(targets, name, 'target_modules'))) {
    const target_modules = `(?:${targets}|^${embedding.path.replace(/\./g, '\\.')}$)`
    return { options: { ...options, target_modules }, shares: 'factors', embedding, heads, notes: [] }
  }
  if (options.trainable_token_indices) return none // tied rows follow each other in any case
  return { ...none, notes: [`${FIELD}: neither target_modules nor modules_to_save names a tied module`] }
}

/** The names without the first that means each head, and with the embedding's. */
function tiedNames(names: readonly string[], embedding: ModuleInfo, heads: readonly ModuleInfo[]): string[] {
  const kept = names.includes(embedding.path) ? [...names] : [...names, embedding.path]
  for (const head of heads) {
    const at = kept.findIndex((name) => pythonMatch(`(^|.*\\.)${name}($|\\..*)`, head.path, FIELD) !== null)
    if (at >= 0) kept.splice(at, 1)
  }
  return kept
}

/**
 * A head's site with the embedding's factors: A is its B transposed, B its A transposed.
 * @param head the site as the method plans it
 * @throws LowrankError `config` where head and embedding would not compute the same update, which PEFT lets happen
 */
export function tiedSite(
  embedding: AdapterSite,
  head: AdapterSite,
  planned: readonly AdapterTensor[],
): { site: AdapterSite; tensors: AdapterTensor[] } {
  if (head.ids.magnitude)
    throw new LowrankError('config', `${FIELD}: DoRA rescales ${embedding.path} and ${head.path} each by its own`, {
      field: FIELD,
    })
  if (head.r !== embedding.r || head.scale !== embedding.scale)
    throw new LowrankError(
      'config',
      `${FIELD}: rank or alpha of ${head.path} differs from that of ${embedding.path}, whose factors it shares`,
      { field: head.r === embedding.r ? 'alpha_pattern' : 'rank_pattern', suggestion: `name ${embedding.path} too` },
    )
  const twins: Record<string, string | undefined> = { lora_A: embedding.ids.b, lora_B: embedding.ids.a }
  return {
    site: head,
    tensors: planned.flatMap((tensor) => {
      const sameAs = twins[tensor.role]
      return sameAs === undefined ? [] : [{ ...tensor, sameAs, transposed: true }]
    }),
  }
}

/** The embedding's trained copy once more, under each head's name. */
export function tiedCopies({ embedding, heads }: Tying): AdapterTensor[] {
  return heads.flatMap((head) =>
    head.parameters
      .filter(({ name }) => name === 'weight')
      .map(({ name, shape }) => ({
        id: `${head.path}.${name}`,
        role: 'saved' as const,
        shape,
        module: head.path,
        parameter: name,
        trained: true,
        sameAs: `${embedding?.path}.${name}`,
      })),
  )
}

/** Refuses sites that PEFT would nest into a tied copy. */
export function refuseTiedTargets({ shares, heads }: Tying, sites: readonly SiteModule[]): void {
  const both = shares === 'copy' && sites.find(({ path }) => heads.some((head) => head.path === path))
  if (!both) return
  throw new LowrankError('config', `${FIELD}: ${both.path} shares the embedding's trained copy, so it is no target`, {
    field: FIELD,
    suggestion: `leave ${lastSegment(both.path)} out of target_modules`,
  })
}
