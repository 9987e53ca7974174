/**
 * @file The tokenizer: text to ids and back, special tokens, and what is added around a text.
 * A thin face on @huggingface/tokenizers, mended where it differs from the Rust crate (byte-order marks, invalid byte
 * runs, unknown ids, clean-up of spaces). Must not know files or models.
 */
import { Tokenizer as Library } from '@huggingface/tokenizers'
import { LowrankError } from '../support/errors.ts'
import type { ChatTemplate } from './chat-template.ts'
import { type Frame, type Framed, framed, frameOf } from './frame.ts'
import { type DecoderFamily, decoderFamily } from './pieces.ts'
import { byteFallbackStream, byteLevelStream, type StreamDecoder, wholeStream } from './stream-decoder.ts'

export interface EncodeOptions {
  /** Add what the tokenizer's post-processor adds (BOS, [CLS] … [SEP]). Default true. */
  addSpecialTokens?: boolean
}

export interface DecodeOptions {
  /** Leave special tokens out. Default true. */
  skipSpecialTokens?: boolean
}

/** Names of special tokens as tokenizer_config.json and special_tokens_map.json spell them. */
export type SpecialTokens = Readonly<Record<string, string>>

export interface TokenizerParts {
  /** Parsed tokenizer.json. */
  json: object
  /** File that errors name. */
  file: string
  /** `bos_token`, `eos_token` … as strings. */
  specialTokens: SpecialTokens
  /** Ids from generation_config.json or config.json, used where no token is named. */
  fallbackIds?: { bos?: number | undefined; eos?: readonly number[]; pad?: number | undefined }
  /** `clean_up_tokenization_spaces` of tokenizer_config.json; acts on WordPiece only, as in transformers 5. */
  cleanUpSpaces?: boolean
  chatTemplate?: ChatTemplate | undefined
}

/** Text ⇄ ids. All ids are in 0…vocabSize−1. */
export class Tokenizer {
  readonly file: string
  readonly specialTokens: SpecialTokens
  readonly chatTemplate: ChatTemplate | undefined
  /** Highest id + 1 (a model's vocab_size may be larger). */
  readonly vocabSize: number
  readonly bosId: number | undefined
  readonly eosId: number | undefined
  readonly padId: number | undefined
  /** What stands for text the vocabulary has no piece of; none where another special token (GPT-2's EOS) is named so. */
  readonly unkId: number | undefined
  /** Ids that end a generation: EOS and those that generation_config.json lists. */
  readonly stopIds: readonly number[]
  /** What the post-processor puts before and after a text. */
  readonly prefix: readonly number[]
  readonly suffix: readonly number[]
  /** Contents of all added tokens, special or not. */
  readonly addedTokens: ReadonlySet<string>
  readonly family: DecoderFamily
  readonly #library: Library
  readonly #special: ReadonlySet<number>
  readonly #nfc: boolean
  readonly #cleanUp: boolean
  readonly #frames = new Map<'one' | 'two', Frame>()

  constructor(parts: TokenizerParts) {
    this.file = parts.file
    this.specialTokens = parts.specialTokens
    this.chatTemplate = parts.chatTemplate
    this.#library = openLibrary(parts)
    const added = [...this.#library.get_added_tokens_decoder().values()]
    this.addedTokens = new Set(added.map((token) => token.content))
    this.#special = new Set(added.filter((token) => token.special).map((token) => token.id))
    this.vocabSize = this.#library.model?.vocab.length ?? 0
    this.bosId = this.#named('bos_token') ?? this.#inRange(parts.fallbackIds?.bos)
    this.eosId = this.#named('eos_token') ?? this.#inRange(parts.fallbackIds?.eos?.[0])
    this.padId = this.#named('pad_token') ?? this.#inRange(parts.fallbackIds?.pad)
    const unknown = this.#named('unk_token')
    this.unkId = [this.bosId, this.eosId, this.padId].includes(unknown) ? undefined : unknown
    const stops = [this.eosId, ...(parts.fallbackIds?.eos ?? []).map((id) => this.#inRange(id))]
    this.stopIds = [...new Set(stops.filter((id) => id !== undefined))]
    this.family = decoderFamily(Reflect.get(parts.json, 'decoder'))
    this.#nfc = JSON.stringify(Reflect.get(parts.json, 'normalizer') ?? null).includes('"NFC"')
    this.#cleanUp = parts.cleanUpSpaces === true && modelType(parts.json) === 'WordPiece'
    const [prefix, suffix] = this.#surroundings()
    this.prefix = prefix
    this.suffix = suffix
  }

  /** Whether the tokenizer puts BOS before a text. */
  get addsBos(): boolean {
    return this.bosId !== undefined && this.prefix[0] === this.bosId
  }

  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    return this.#library.encode(text, { add_special_tokens: addSpecialTokens }).ids
  }

  /** Ids of a text that is to be continued: BOS once, where the tokenizer adds one, and nothing after. */
  encodeStart(text: string): number[] {
    const ids = this.encode(text, { addSpecialTokens: false })
    return this.addsBos && ids[0] === this.bosId ? ids : [...this.prefix, ...ids]
  }

  /** Ids of a text or of a pair with everything around them, cut to `limit` tokens as transformers truncates. */
  encodeFramed(text: string, pair: string | undefined, limit: number): Framed {
    const bare = (part: string): number[] => this.encode(part, { addSpecialTokens: false })
    return this.frame(bare(text), pair === undefined ? undefined : bare(pair), limit)
  }

  /** The same of texts that are ids already. */
  frame(first: readonly number[], second: readonly number[] | undefined, limit: number): Framed {
    const kind = second ? 'two' : 'one'
    const frame = this.#frames.get(kind) ?? this.#findFrame(second !== undefined)
    this.#frames.set(kind, frame)
    return framed(frame, first, second, limit)
  }

  #findFrame(isPair: boolean): Frame {
    const bare = (part: string): number[] => this.encode(part, { addSpecialTokens: false })
    const { ids, token_type_ids } = this.#library.encode('a', {
      ...(isPair ? { text_pair: 'b' } : {}),
      return_token_type_ids: true,
    })
    const types = token_type_ids ?? ids.map(() => 0)
    return frameOf({ ids, types }, bare('a'), isPair ? bare('b') : undefined)
  }

  /** Ids of one word of a text that comes in words, as transformers has them with `is_split_into_words`. */
  encodeWord(word: string): number[] {
    return this.encode(this.family.kind === 'byte-level' ? ` ${word}` : word, { addSpecialTokens: false })
  }

  /** Ids with the token string of each, nothing added around them. */
  tokens(text: string): { ids: number[]; tokens: string[] } {
    const { ids, tokens } = this.#library.encode(text, { add_special_tokens: false })
    return { ids, tokens }
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const kept: number[] = []
    for (const id of ids) if (this.tokenOf(id) !== undefined) kept.push(id)
    if (this.family.kind === 'other') return this.#decodeWhole(kept, options.skipSpecialTokens ?? true)
    const stream = this.streamDecoder(options)
    let text = ''
    for (const id of kept) text += stream.push(id)
    return text + stream.end()
  }

  /** Decodes ids as they come; see {@link StreamDecoder}. */
  streamDecoder({ skipSpecialTokens = true }: DecodeOptions = {}): StreamDecoder {
    const lookup = (id: number) => (skipSpecialTokens && this.#special.has(id) ? undefined : this.tokenOf(id))
    if (this.family.kind === 'byte-level') return byteLevelStream(lookup)
    if (this.family.kind === 'byte-fallback') return byteFallbackStream(lookup, this.family.stripStart)
    return wholeStream((ids) => this.#decodeWhole(ids, skipSpecialTokens))
  }

  /** Id of a token string (`<|im_end|>`, `Ġthe`), undefined where there is none. */
  idOf(token: string): number | undefined {
    return this.#library.token_to_id(token)
  }

  /** Token string of an id. */
  tokenOf(id: number): string | undefined {
    return this.#library.id_to_token(id)
  }

  isSpecial(id: number): boolean {
    return this.#special.has(id)
  }

  /** The text that the tokenizer sees: composed (NFC) where its normalizer composes. */
  composed(text: string): string {
    return this.#nfc ? text.normalize('NFC') : text
  }

  #decodeWhole(ids: number[], skipSpecialTokens: boolean): string {
    const kept = skipSpecialTokens ? ids.filter((id) => !this.#special.has(id)) : ids
    if (kept.length === 0) return '' // the library refuses to decode nothing
    return this.#library.decode(kept, { skip_special_tokens: false, clean_up_tokenization_spaces: this.#cleanUp })
  }

  #named(name: string): number | undefined {
    const token = this.specialTokens[name]
    return token === undefined ? undefined : this.idOf(token)
  }

  #inRange(id: number | undefined): number | undefined {
    return id !== undefined && id < this.vocabSize ? id : undefined
  }

  #surroundings(): [number[], number[]] {
    const whole = this.encode('a')
    const bare = this.encode('a', { addSpecialTokens: false })
    if (bare.length === 0) return [whole, []]
    for (let start = 0; start + bare.length <= whole.length; start++) {
      if (bare.every((id, i) => whole[start + i] === id))
        return [whole.slice(0, start), whole.slice(start + bare.length)]
    }
    return [[], []]
  }
}

function modelType(json: object): unknown {
  const model = Reflect.get(json, 'model')
  return typeof model === 'object' && model !== null ? Reflect.get(model, 'type') : undefined
}

function openLibrary(parts: TokenizerParts): Library {
  try {
    // The Rust crate defaults what the library insists on.
    const blank = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null }
    const json = { ...blank, ...parts.json }
    const type = modelType(json)
    if (typeof type === 'string' && !MODELS.includes(type)) throw new TypeError(`a model of type ${type}`)
    checkIds(json)
    return new Library(json, { ...parts.specialTokens })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new LowrankError('format', `${parts.file} is no tokenizer that lowrank can use: ${reason}`, {
      file: parts.file,
      cause,
    })
  }
}

/** Ids index arrays: one wild number in a broken file must not size an array. */
function checkIds(json: { added_tokens: unknown; model?: unknown }): void {
  const vocab = typeof json.model === 'object' && json.model !== null ? Reflect.get(json.model, 'vocab') : undefined
  const ids: unknown[] =
    typeof vocab === 'object' && vocab !== null && !Array.isArray(vocab) ? Object.values(vocab) : []
  if (!Array.isArray(json.added_tokens)) throw new TypeError('added_tokens is not a list')
  for (const token of json.added_tokens) {
    const fields: { id?: unknown; content?: unknown } = typeof token === 'object' && token !== null ? token : {}
    if (typeof fields.content !== 'string' || fields.content === '')
      throw new TypeError('an added token has no content')
    ids.push(fields.id)
  }
  for (const id of ids) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= MAX_IDS)
      throw new TypeError(`${String(id)} is no token id`)
  }
}

const MODELS = ['BPE', 'Unigram', 'WordPiece']
const MAX_IDS = 1 << 24
