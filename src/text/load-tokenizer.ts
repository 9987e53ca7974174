/**
 * @file Opens the tokenizer of a Hugging Face model folder: tokenizer.json with the small files beside it.
 * Must not know what the tokenizer is used for.
 */
import { join } from 'node:path'
import { LowrankError } from '../support/errors.ts'
import { pathKind, readBounded } from '../support/files.ts'
import { isRecord, parseJson } from '../support/json.ts'
import { ChatTemplate } from './chat-template.ts'
import { type SpecialTokens, Tokenizer } from './tokenizer.ts'

/** The parsed files, for tokenizers that are not in a folder. */
export interface TokenizerFiles {
  /** tokenizer.json */
  tokenizerJson: object
  /** tokenizer_config.json */
  tokenizerConfig?: object | undefined
  /** special_tokens_map.json */
  specialTokensMap?: object | undefined
  /** chat_template.jinja; wins over the one in tokenizer_config.json. */
  chatTemplate?: string | undefined
  /** generation_config.json */
  generationConfig?: object | undefined
  /** config.json */
  modelConfig?: object | undefined
  /** Where the files came from, for messages. */
  folder?: string | undefined
}

/** Largest JSON file read; the biggest real tokenizer.json is near 35 MB. */
const MAX_BYTES = 256 * 2 ** 20

/**
 * Opens a tokenizer.
 * @param source a model folder, or its parsed files
 * @throws LowrankError `missing` where there is no tokenizer.json, `format` where a file is broken
 */
export async function loadTokenizer(source: string | TokenizerFiles): Promise<Tokenizer> {
  return createTokenizer(typeof source === 'string' ? await readFolder(source) : source)
}

/** {@link loadTokenizer} for files that are already in memory. */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const at = (name: string) => (files.folder === undefined ? name : join(files.folder, name))
  const config = files.tokenizerConfig
  const specialTokens = { ...namedTokens(files.specialTokensMap), ...namedTokens(config) }
  return new Tokenizer({
    json: files.tokenizerJson,
    file: at('tokenizer.json'),
    specialTokens,
    fallbackIds: fallbackIds([files.generationConfig, files.modelConfig]),
    cleanUpSpaces: get(config, 'clean_up_tokenization_spaces') === true,
    chatTemplate: chatTemplate(files, specialTokens, at),
  })
}

async function readFolder(folder: string): Promise<TokenizerFiles> {
  const tokenizerJson = await readObject(join(folder, 'tokenizer.json'))
  if (tokenizerJson === undefined) throw await noTokenizer(folder)
  return {
    folder,
    tokenizerJson,
    tokenizerConfig: await readObject(join(folder, 'tokenizer_config.json')),
    specialTokensMap: await readObject(join(folder, 'special_tokens_map.json')),
    chatTemplate: await readText(join(folder, 'chat_template.jinja')),
    generationConfig: await readObject(join(folder, 'generation_config.json')),
    modelConfig: await readObject(join(folder, 'config.json')),
  }
}

async function noTokenizer(folder: string): Promise<LowrankError> {
  const others = [['vocab.json', 'merges.txt'], ['tokenizer.model'], ['spiece.model'], ['vocab.txt']]
  for (const names of others) {
    const found = await Promise.all(names.map((name) => exists(join(folder, name))))
    if (!found.every(Boolean)) continue
    return new LowrankError('missing', `${folder} has ${names.join(' and ')} but no tokenizer.json`, {
      file: join(folder, 'tokenizer.json'),
      suggestion: 'lowrank reads tokenizer.json only; AutoTokenizer.from_pretrained(…).save_pretrained(…) writes one',
    })
  }
  return new LowrankError('missing', `${folder} has no tokenizer.json`, {
    file: join(folder, 'tokenizer.json'),
    suggestion: 'name a folder that has one with --tokenizer; rows of input_ids need none',
  })
}

async function exists(path: string): Promise<boolean> {
  return (await pathKind(path)) === 'file'
}

async function readText(file: string): Promise<string | undefined> {
  if (!(await exists(file))) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readBounded(file, MAX_BYTES))
  } catch (cause) {
    if (cause instanceof LowrankError) throw cause
    throw new LowrankError('format', `${file} is not UTF-8 text`, { file, cause })
  }
}

async function readObject(file: string): Promise<object | undefined> {
  const text = await readText(file)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text) // parseJson looks twice at deep text: slow on a vocabulary of megabytes
  } catch {
    value = parseJson(text, { file })
  }
  if (!isRecord(value)) throw new LowrankError('format', `${file} holds no JSON object`, { file })
  return value
}

function get(value: unknown, name: string): unknown {
  return isRecord(value) ? value[name] : undefined
}

/** Every `*_token` entry, as a string or as `{content}`. */
function namedTokens(config: object | undefined): SpecialTokens {
  const tokens: Record<string, string> = {}
  for (const [name, value] of Object.entries(config ?? {})) {
    const content = typeof value === 'string' ? value : get(value, 'content')
    if (name.endsWith('_token') && typeof content === 'string') tokens[name] = content
  }
  return tokens
}

function fallbackIds(configs: readonly (object | undefined)[]): { bos?: number; eos: number[]; pad?: number } {
  const first = (name: string) => configs.map((config) => get(config, name)).find((value) => value != null)
  const eos = first('eos_token_id')
  const [bos, pad] = [first('bos_token_id'), first('pad_token_id')]
  return {
    ...(isId(bos) ? { bos } : {}),
    eos: (Array.isArray(eos) ? eos : [eos]).filter(isId),
    ...(isId(pad) ? { pad } : {}),
  }
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0
}

function chatTemplate(
  files: TokenizerFiles,
  specialTokens: SpecialTokens,
  at: (name: string) => string,
): ChatTemplate | undefined {
  if (files.chatTemplate !== undefined)
    return new ChatTemplate({
      templates: { default: files.chatTemplate },
      file: at('chat_template.jinja'),
      specialTokens,
    })
  const value = get(files.tokenizerConfig, 'chat_template')
  const file = at('tokenizer_config.json')
  if (typeof value === 'string') return new ChatTemplate({ templates: { default: value }, file, specialTokens })
  if (!Array.isArray(value)) return undefined
  const named = value.map((entry): [unknown, unknown] => [get(entry, 'name'), get(entry, 'template')])
  const templates: Record<string, string> = {}
  for (const [name, text] of named) if (typeof name === 'string' && typeof text === 'string') templates[name] = text
  return new ChatTemplate({ templates, file, specialTokens })
}
