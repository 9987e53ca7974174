/**
 * @file Words the corpus is made of: short lists of everyday English and makers of words nobody has seen before.
 * Must not know documents or files. Nothing here is taken from a data set; the lists were written for this project.
 */
import { RandomStream } from '../../dist/support/random.js'

/** Draws for one document: a seeded stream with the few verbs that a grammar needs. */
export class Dice {
  /** @param {number} seed @param {string} purpose */
  constructor(seed, purpose) {
    this.stream = new RandomStream(seed, purpose)
  }
  /** Integer in [low, high]. @param {number} low @param {number} high */
  between(low, high) {
    return low + this.stream.below(high - low + 1)
  }
  /** @param {number} share */
  chance(share) {
    return this.stream.uniform() < share
  }
  /** @template T @param {readonly T[]} list @returns {T} */
  pick(list) {
    return /** @type {T} */ (list[this.stream.below(list.length)])
  }
  /** `count` different entries. @template T @param {readonly T[]} list @param {number} count @returns {T[]} */
  some(list, count) {
    return this.shuffle(list).slice(0, count)
  }
  /** @template T @param {readonly T[]} list @returns {T[]} */
  shuffle(list) {
    return [...this.stream.permutation(list.length)].map((i) => /** @type {T} */ (list[i]))
  }
  /** Calls `make` until `count` different values are there. @param {number} count @param {() => string} make */
  different(count, make) {
    const found = new Set()
    while (found.size < count) found.add(make())
    return /** @type {string[]} */ ([...found])
  }
}

const onsets =
  'b c d f g h j k l m n p r s t v w z br bl ch cl cr dr fl fr gl gr kl kr pl pr qu sh sk sl sm sn sp st str sw th tr tw wh'.split(
    ' ',
  )
const vowels = 'a e i o u a e i o u a e o ai au ea ee ei ia ie io oa oo ou ue y'.split(' ')
const codas =
  'b d g k l m n p r s t x n r l s t n ck ff ld ll lm lt mp nd ng nk nt rd rg rk rm rn rs rt sh sk ss st th tch rch lf'.split(
    ' ',
  )
const nameEnds = 'a o e i y an en in on er el il is us as ia io ina elle ett ard ert olf ric wen son ley ton'.split(' ')
const townEnds = 'a o ia burg ford ton ham by field mouth haven stad wick port ville ona ado ich au eim'.split(' ')
const letters = 'abcdefghijklmnopqrstuvwxyz'
/** Frequent words, the grammar's own among them: as (parts of) names they make every token something to copy. */
const common =
  `the of and to in is it was for on are as with his they at be this from have or by one had not but what all were when
  we there can an your which their said if do will each about how up out them then she many some so these would other
  into has more her two like him see time could no make than first been who now people my made over did down only way
  find use may water long little very after words called just where most know mark rings ring stand sing says write wrote
  hill bridge road train leave house grew stay town night came back rests walk ears works learn keeps yard follow feeds
  morning found dug lost near gone looking years old turned climb choir born fell bad day until gets bell sharp asleep
  rest sea sign door reads wall number word favourite cried count shore saw shed owns carried rich clay early nobody
  slept behind nothing else known long ago please keep yourself thanks hello note list given short sum fact last again
  begin before after without copy read bring meet letter dear yours date place home goal trade animal age hour week code
  name book man son land wood ford berg mont ville port car let pin per mer con par pro sub super inter out under ward
  tion ment ness able ful less ing er est ly age ant ent ist ine ide ure ock ump eck ost est art ang olt ram ber ter der`.split(
    /\s+/,
  )

/** @param {string} word */
export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1)

/** A word that follows English spelling but means nothing: "brindle", "sook". @param {Dice} d */
export function coined(d) {
  if (d.chance(0.25)) return compound(d)
  const count = d.pick([1, 1, 2, 2, 2, 3])
  let word = ''
  for (let i = 0; i < count; i++) {
    if (i > 0 || d.chance(0.82)) word += d.pick(onsets)
    word += d.pick(vowels)
    if (d.chance(i === count - 1 ? 0.7 : 0.3)) word += d.pick(codas)
  }
  return word.length < 3 ? word + d.pick(codas) : word
}

/** Frequent words on their own or run together: "mark", "undersea", "bridgeling". @param {Dice} d */
function compound(d) {
  const parts = Array.from({ length: d.pick([1, 2, 2, 2, 3]) }, () =>
    d.chance(0.75) ? d.pick(common) : d.pick(onsets) + d.pick(vowels),
  )
  const word = parts.join('')
  return word.length < 3 ? word + d.pick(codas) : word
}

/** A string with no spelling at all, to copy letter by letter. @param {Dice} d */
export function scramble(d) {
  const signs = d.pick([letters, letters, letters.toUpperCase(), `${letters}0123456789`, '0123456789'])
  return Array.from({ length: d.between(2, 8) }, () => d.pick([...signs])).join('')
}

/** @param {Dice} d */
export function firstName(d) {
  if (d.chance(0.25)) return d.pick(knownNames)
  return capital(d.chance(0.5) ? d.pick(onsets) + d.pick(vowels) + d.pick(codas) + d.pick(nameEnds) : coined(d))
}

/** @param {Dice} d */
export function surname(d) {
  const stem = coined(d)
  return capital(d.chance(0.4) ? stem + d.pick(nameEnds) : stem)
}

/** @param {Dice} d */
export function fullName(d) {
  if (d.chance(0.06)) return `${firstName(d)} ${d.pick(['de', 'van', 'al', 'von', 'da'])} ${surname(d)}`
  return `${firstName(d)} ${surname(d)}`
}

/** @param {Dice} d */
export function town(d) {
  const stem = capital(coined(d))
  if (d.chance(0.12)) return `${d.pick(['New', 'Old', 'San', 'Port', 'Upper', 'Mount', 'Saint', 'Lake'])} ${stem}`
  return d.chance(0.5) ? stem + d.pick(townEnds) : stem
}

/** A thing in the singular, one to three words: "copper bell", "striped wool blint". @param {Dice} d */
export function thing(d) {
  const noun = d.chance(0.45) ? coined(d) : d.pick(nouns)
  if (d.chance(0.25)) return noun
  const first = d.chance(0.25) ? coined(d) : d.pick(adjectives)
  return d.chance(0.15) ? `${d.pick(adjectives)} ${first} ${noun}` : `${first} ${noun}`
}

/** @param {string} phrase */
export const plural = (phrase) => phrase + (/(s|x|z|ch|sh)$/.test(phrase) ? 'es' : 's')

/** @param {string} phrase */
export const withArticle = (phrase) => `${/^[aeiou]/.test(phrase) ? 'an' : 'a'} ${phrase}`

/** A whole number of one to four digits, short ones more often. @param {Dice} d */
export function number(d) {
  return String(
    d.between(
      ...d.pick(
        /** @type {[number, number][]} */ ([
          [2, 9],
          [2, 20],
          [10, 99],
          [10, 99],
          [100, 999],
          [1000, 9999],
        ]),
      ),
    ),
  )
}

/** @param {Dice} d */
export const day = (d) => `${d.between(1, 28)} ${d.pick(months)}`

/** @param {Dice} d */
export const clock = (d) => `${d.between(1, 12)}:${d.pick(['00', '15', '30', '45', '05', '20', '50'])}`

export const months = 'January February March April May June July August September October November December'.split(' ')
export const weekdays = 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'.split(' ')
const knownNames =
  'Adam Beth Carl Dora Emil Fay Greta Hugo Ida Jonas Karl Lotte Milo Nell Otto Paula Rosa Stan Tess Ulla Vera Wim'.split(
    ' ',
  )
export const nouns =
  `bell rope stone drum feather ladder kite bucket whistle button lantern fiddle hammer nail shell coin map mirror needle
  ring saddle shovel spoon thread trumpet wagon wheel acorn basket branch bridge candle chain cloud crown door fence flag
  flower gate hat horn key knot leaf log mask mill net oar path pebble pipe pond pot quilt river roof root seed ship sign
  sled star stick tent tower tree wall well window wing arrow badge bead bone brush cage cork crate`.split(/\s+/)
export const animals =
  'goat crow mule otter hen cat dog fox heron toad sheep pony owl hare swan mouse bear wolf donkey goose'.split(' ')
export const adjectives =
  `old small tall red grey broken heavy bright copper dusty empty golden hollow iron little long narrow painted pale quiet
  round rusty sharp silver soft stiff striped thin tiny warm wet wide wooden wool yellow young green black white blue brass
  crooked dark deep dry early fine flat`.split(/\s+/)
export const trades =
  'miller baker sailor tailor teacher singer guard painter farmer fisher carpenter doctor weaver driver clerk gardener smith'.split(
    ' ',
  )
export const moods = 'tired happy hungry late early cold proud alone lost calm busy afraid glad cross sleepy'.split(' ')
export const weathers = 'rain snow wind fog sun frost hail thunder'.split(' ')
