/**
 * @file The quickstart's task: short orders in everyday words, to be turned into JSON. Rows are made from a seed.
 * Must not know models: it only writes text.
 */
import { RandomStream } from '../../support/random.ts'
import { splice } from './splice.ts'
import { type Part, type Values, values } from './values.ts'

/** A row as `train` reads it. */
export interface OrderRow {
  prompt: string
  completion: string
}

interface Order {
  name: string
  item: string
  quantity: number
  city: string
}

const greetings = [
  '',
  '',
  '',
  'Hi, ',
  'Hello! ',
  'Hello there, ',
  'Good morning, ',
  'Good evening. ',
  'Dear shop, ',
  'Hey, ',
]
const wishes = [
  'please send Q',
  'I need Q',
  'I would like Q',
  'could you ship Q',
  'we want to order Q',
  'can I get Q',
  'put me down for Q',
  'an order of Q, please',
  'we are short of Q',
  'I am after Q',
]
const ways = [
  ' to C',
  ' in C',
  ', delivered to C',
  ', to be shipped to C',
  ' for our shop in C',
  ' sent to C',
  ', going to C',
]
const places = [
  'Ship to C.',
  'We are in C.',
  'Deliver to C, please.',
  'The address is in C.',
  'It goes to C.',
  'C is where we are.',
]
const owners = [
  'The name is P.',
  'This is for P.',
  'My name is P.',
  'It is for P.',
  'P will sign for it.',
  'Ask for P.',
  'I am P.',
]
const signatures = ['Thanks, P', 'Best, P', 'P', 'Regards, P', 'Yours, P', 'Thank you! P']
const remarks = [
  'No hurry.',
  'It is urgent.',
  'Call before you come.',
  'Same as last time.',
  'Please confirm.',
  'The old ones broke.',
]
/** Whole messages that do not follow the pattern of wish, place and name. */
const notes = [
  'P from C wants Q.',
  'Order from P: Q, ship to C.',
  'Q for P in C, please.',
  'To C: Q. Buyer: P.',
  'P called from C and asked for Q.',
  'New order, Q, P, C.',
  'Customer P in C would like Q.',
  'For P, C: Q.',
  'In C, P is waiting for Q.',
  'Could P in C have Q?',
]

/** Share of the training's words that are spliced; the held-out rows have real ones only. */
const SPLICED = 0.8
const measured: ReadonlySet<string> = new Set(
  [values.heldout.firstNames, values.heldout.surnames, values.heldout.kinds, values.heldout.goods, values.heldout.towns]
    .flat()
    .flatMap((entry) => entry.split(' ')),
)

/** Draws one order of a part's values and says it in one of many ways. */
function orderRow(random: RandomStream, part: Part): OrderRow {
  const from: Values = values[part]
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)] as T
  const word = (list: readonly string[]): string =>
    part === 'train' && random.uniform() < SPLICED ? splice(random, list, measured) : pick(list)
  const goods = word(from.goods)
  const order: Order = {
    name: `${word(from.firstNames)} ${word(from.surnames)}`,
    item: random.uniform() < 0.75 ? `${word(from.kinds)} ${goods}` : goods,
    quantity: pick(from.amounts),
    city: word(from.towns),
  }
  return { prompt: `${say(pattern(random, pick), order)} ->`, completion: JSON.stringify(order) }
}

/** A message with Q, P and C where amount and item, person and city belong. */
function pattern(random: RandomStream, pick: (list: readonly string[]) => string): string {
  if (random.uniform() < 0.3) return pick(notes)
  const greeting = pick(greetings)
  const wish = pick(wishes)
  const withPlace = random.uniform() < 0.5
  const start =
    greeting + (/[.!]\s$/.test(greeting) || greeting === '' ? wish.charAt(0).toUpperCase() + wish.slice(1) : wish)
  const asks = /^(could|can)/.test(wish)
  const sentences = [`${start}${withPlace ? pick(ways) : ''}${asks ? '?' : '.'}`]
  if (!withPlace) sentences.push(pick(places))
  if (random.uniform() < 0.2) sentences.push(pick(remarks))
  const signed = random.uniform() < 0.5
  if (!signed) sentences.splice(random.below(sentences.length + 1), 0, pick(owners))
  return sentences.join(' ') + (signed ? ` ${pick(signatures)}` : '')
}

function say(message: string, order: Order): string {
  const spoken: Record<string, string> = { Q: `${order.quantity} ${order.item}`, P: order.name, C: order.city }
  return message.replace(/\b[QPC]\b/g, (mark) => spoken[mark] ?? mark)
}

/**
 * Rows of one part, all different, the same for the same seed.
 *
 * @param part whose values are used; `train` and `heldout` share no name, item, city or amount
 * @param count how many rows
 */
export function orderRows(part: Part, count: number, seed: number): OrderRow[] {
  const random = new RandomStream(seed, `quickstart/${part}`)
  const rows = new Map<string, OrderRow>()
  while (rows.size < count) {
    const row = orderRow(random, part)
    rows.set(row.prompt, row)
  }
  return [...rows.values()]
}

/** Share of answers that equal the row's completion, character for character but for spaces around it. */
export function exactMatch(rows: readonly OrderRow[], answers: readonly string[]): number {
  const right = rows.filter((row, i) => answers[i]?.trim() === row.completion).length
  return rows.length === 0 ? 0 : right / rows.length
}
