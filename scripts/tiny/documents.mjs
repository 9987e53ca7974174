/**
 * @file The kinds of document the base model reads: each a small grammar that makes later text depend on earlier text.
 * Must not know files or tokens. None of them is an order, a request or JSON: that is what the quickstart teaches.
 */
import { relations, tell, tellCount } from './facts.mjs'
import {
  adjectives,
  animals,
  capital,
  clock,
  coined,
  day,
  firstName,
  fullName,
  moods,
  nouns,
  number,
  plural,
  scramble,
  thing,
  town,
  trades,
  weathers,
  weekdays,
  withArticle,
} from './words.mjs'

/** @typedef {import('./words.mjs').Dice} Dice */
/** @typedef {import('./facts.mjs').Fact} Fact */

/** @param {Dice} d */
const person = (d) => (d.chance(0.6) ? fullName(d) : firstName(d))

/** Sentences that carry nothing, so that a reader must choose. @param {Dice} d */
function filler(d) {
  return d.pick([
    () => `The ${d.pick(weathers)} came early that ${d.pick(weekdays)}.`,
    () => `It was a ${d.pick(adjectives)} day and nobody was ${d.pick(moods)}.`,
    () => `The ${d.pick(animals)} slept behind the ${d.pick(nouns)}.`,
    () => `Nothing else is known.`,
    () => `All of this was long ago.`,
    () => `Please keep it to yourself.`,
    () => `Thanks for reading.`,
    () => `Hello from the ${d.pick(adjectives)} house!`,
    () => `The ${d.pick(nouns)} was ${d.pick(adjectives)} and the ${d.pick(nouns)} was ${d.pick(adjectives)}.`,
  ])()
}

/** @param {Dice} d @param {string[]} people @param {number} each @returns {Fact[]} */
function factsAbout(d, people, each) {
  return people.flatMap((who) => {
    const facts = d.some(relations, each).map((relation) => tell(d, who, relation))
    return d.chance(0.5) ? [...facts.slice(1), tellCount(d, who)] : facts
  })
}

/** @param {Dice} d @param {Fact[]} facts */
function passage(d, facts) {
  const sentences = facts.map((fact) => fact.text)
  if (d.chance(0.4)) sentences.push(filler(d))
  return (d.chance(0.7) ? d.shuffle(sentences) : sentences).join(d.chance(0.1) ? '\n' : ' ')
}

/** How a question and its answer are set: one style a document. */
const questionStyles = [
  (q, a) => `Q: ${q}\nA: ${a}`,
  (q, a) => `Q: ${q}\nA: "${a}"`,
  (q, a) => `${q} ${a}.`,
  (q, a) => `${q} "${a}"`,
  (q, a) => `Question: ${q} Answer: ${a}.`,
  (q, a) => `${q} (${a})`,
  (q, a) => `${q}\n[${a}]`,
  (q, a) => `"${q}" asked the clerk.\n"${a}," was the answer.`,
  (q, a) => `- ${q}\n- ${a}`,
  (q, a) => `<|user|>${q}<|assistant|>${a}<|end|>`,
]

/** @param {Dice} d */
function questions(d) {
  const people = d.different(d.between(1, 3), () => person(d))
  const facts = factsAbout(d, people, d.between(1, people.length === 1 ? 5 : 3))
  const style = d.pick(questionStyles)
  const asked = d.some(
    facts.flatMap((fact) => fact.questions),
    d.between(2, 5),
  )
  return `${passage(d, facts)}\n${asked.map((q) => style(q.ask, q.answer)).join('\n')}`
}

/** @param {Dice} d @returns {(values: string[]) => string} */
function rowStyle(d) {
  const quote = d.pick(['', '', '"', "'", '*', '<'])
  const close = quote === '<' ? '>' : quote
  const [open, shut] = d.pick([
    ['', ''],
    ['(', ')'],
    ['[', ']'],
    ['{', '}'],
    ['', '.'],
    ['- ', ''],
    ['= ', ' ='],
  ])
  const separators = [', ', '; ', ' | ', ' / ', ',', ';', '\n', ' - ', ' and ']
  const separator = d.pick(separators.filter((s) => open !== '[' || !s.startsWith(','))) // "[1, 2]" would be JSON
  return (values) => open + values.map((v) => quote + v + close).join(separator) + shut
}

/** Several values of one passage in the order asked for; the last lines follow the pattern of the first. @param {Dice} d */
function digest(d) {
  const kinds = d.some(relations, d.between(1, 3))
  const count = d.chance(0.6)
  const withName = d.chance(0.7)
  const labels = [
    ...(withName ? ['name'] : []),
    ...kinds.map((k) => k.label),
    ...(count ? [d.pick(['count', 'number'])] : []),
  ]
  const order = d.shuffle(labels.map((_, i) => i))
  const row = rowStyle(d)
  const heading = d.pick(['In short', 'Notes', 'Summary', 'To remember', 'Facts', 'The list'])
  const blocks = d
    .different(d.between(1, 3), () => person(d))
    .map((who) => {
      const facts = kinds.map((kind) => tell(d, who, kind))
      const counted = count ? [tellCount(d, who)] : []
      const values = [...(withName ? [who] : []), ...[...facts, ...counted].map((fact) => fact.answer)]
      return `${passage(d, [...facts, ...counted])}\n${heading}: ${row(order.map((i) => values[i]))}`
    })
  const asked = d.chance(0.5) ? `Give ${order.map((i) => labels[i]).join(', ')}.\n` : ''
  return asked + blocks.join('\n')
}

/** @param {Dice} d */
function sentence(d) {
  return d.pick([
    () => tell(d, person(d), d.pick(relations)).text,
    () => tellCount(d, person(d)).text,
    () => `${capital(withArticle(thing(d)))} for ${person(d)}, on ${day(d)}.`,
    () => `Bring ${number(d)} ${plural(thing(d))} from ${town(d)}.`,
    () => `${coined(d)} ${coined(d)} ${coined(d)}`,
    () => `Meet me in ${town(d)} at ${clock(d)}.`,
    () => `The word is ${coined(d)}.`,
    filler.bind(undefined, d),
  ])()
}

/** Somebody says something and somebody says it again. @param {Dice} d */
function echo(d) {
  const lines = []
  for (let i = d.between(1, 3); i > 0; i--) {
    const said = d.chance(0.8) ? sentence(d) : scramble(d)
    const bare = said.replace(/\.$/, '')
    const [a, b] = d.different(2, () => firstName(d))
    lines.push(
      d.pick([
        () => `${a} said: "${bare}." ${b} did not hear it, so ${a} said it again: "${bare}."`,
        () => `"${bare}," wrote ${a}.\nWhat did ${a} write? "${bare}."`,
        () => `${bare}. ${bare}! cried ${b}.`,
        () => `${a}: ${said}\n${b}: ${said}`,
        () => `(${bare}) once more (${bare})`,
        () => `The letter of ${a} begins "${bare}" and ends "${bare}".`,
        () => `${said}\nCopy: ${said}`,
        () => `Read: ${said}\nWrite: ${said}\nWrite in quotes: "${said}"`,
      ])(),
    )
  }
  return lines.join('\n')
}

/** @param {Dice} d */
const anything = (d) =>
  d.pick([
    () => person(d),
    () => town(d),
    () => thing(d),
    () => coined(d),
    () => scramble(d),
    () => number(d),
    () => day(d),
    () => `${number(d)} ${plural(thing(d))}`,
  ])()

const ordinals = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh']

/** @param {Dice} d */
function lists(d) {
  const make = d.pick([person, town, thing, coined, scramble, number, anything, anything])
  const items = d.different(d.between(2, 7), () => make(d))
  const row = rowStyle(d)
  const lines = [`${d.pick(['List', 'Words', 'Here they are', 'Given'])}: ${row(items)}`]
  for (let i = d.between(1, 3); i > 0; i--) {
    const at = d.between(0, items.length - 1)
    const other = d.pick(items)
    lines.push(
      d.pick([
        () => `Again: ${row(items)}`,
        () => `Another way: ${rowStyle(d)(items)}`,
        () => `The ${ordinals[at]} is ${items[at]}.`,
        () => `The last is "${items[items.length - 1]}".`,
        () => (at === 0 ? `Nothing stands before ${items[0]}.` : `After ${items[at - 1]} comes ${items[at]}.`),
        () => (at === 0 ? `It begins with ${items[0]}.` : `Before ${items[at]} stands ${items[at - 1]}.`),
        () => `Without ${other}: ${row(items.filter((item) => item !== other))}`,
      ])(),
    )
  }
  return lines.join('\n')
}

/** Rows and columns, then look-ups. @param {Dice} d */
function tables(d) {
  const columns = d.some(relations, d.between(1, 3))
  const people = d.different(d.between(2, 4), () => (d.chance(0.5) ? firstName(d) : fullName(d)))
  const separator = d.pick([' | ', ', ', '\t', ' - ', '; '])
  const cells = people.map((who) => [who, ...columns.map((column) => column.value(d))])
  const lines = [['name', ...columns.map((column) => column.label)], ...cells].map((row) => row.join(separator))
  for (let i = d.between(2, 4); i > 0; i--) {
    const row = d.pick(cells)
    const c = d.between(1, columns.length)
    lines.push(
      d.pick([
        () => `${columns[c - 1].label} of ${row[0]}: ${row[c]}`,
        () => `The row with ${row[c]} is that of ${row[0]}.`,
        () => `${row[0]} has "${row[c]}" under ${columns[c - 1].label}.`,
        () => row.join(separator),
      ])(),
    )
  }
  return lines.join('\n')
}

/** @param {Dice} d */
function letter(d) {
  const [from, to] = d.different(2, () => person(d))
  const facts = factsAbout(d, [d.chance(0.5) ? from : person(d)], d.between(1, 3))
  const place = town(d)
  const date = day(d)
  const head = d.chance(0.7) ? `${place}, ${date}\n` : ''
  const last = [
    `${from} wrote this letter to ${to}.`,
    `From: ${from}\nTo: ${to}`,
    ...(head ? [`Written in ${place} on ${date}.`, `Date: ${date}\nPlace: ${place}\nFor: ${to}`] : []),
    ...facts.map((fact) => `${d.pick(['About', 'Note'])}: ${fact.answer}`),
  ]
  return `${head}Dear ${to},\n${passage(d, facts)}\nYours, ${from}\n\n${d.some(last, 2).join('\n')}`
}

/** A walk with a companion and a thing that changes hands. @param {Dice} d */
function story(d) {
  const [hero, friend] = d.different(2, () => firstName(d))
  const [home, far] = d.different(2, () => town(d))
  const object = thing(d)
  const n = number(d)
  const many = plural(thing(d))
  const middle = [
    `${hero} met ${friend}, who had ${n} ${many}.`,
    `"What do you carry?" asked ${friend}. "${capital(withArticle(object))}," said ${hero}.`,
    `${friend} wanted to see the ${object}.`,
    `The ${weathers.includes(object) ? 'sky' : d.pick(weathers)} was near, and ${hero} was ${d.pick(moods)}.`,
    `"Is it far to ${far}?" asked ${hero}. "To ${far}? Not far," said ${friend}.`,
    `${hero} gave ${friend} the ${object}, and ${friend} gave ${hero} the ${n} ${many}.`,
    `${friend} was a ${d.pick(trades)} and was never ${d.pick(moods)}.`,
  ]
  const end = d.pick([
    `In ${far} ${hero} sold the ${n} ${many} and went back to ${home}.`,
    `So ${hero} of ${home} came to ${far} without the ${object}.`,
    `And that is how the ${object} came to ${friend}.`,
    `Back in ${home} nobody believed in the ${n} ${many}.`,
  ])
  const start = `${d.pick(['Once', 'One day', 'Long ago', `In ${withArticle(`${d.pick(adjectives)} year`)}`])} ${hero} left ${home} for ${far} with ${withArticle(object)}.`
  return [start, ...d.some(middle, d.between(2, 4)), end].join(' ')
}

/** Letters and signs to be copied, with brackets and quotes of every sort. @param {Dice} d */
function signs(d) {
  const lines = []
  for (let i = d.between(2, 4); i > 0; i--) {
    const words = Array.from({ length: d.between(1, 4) }, () => anything(d))
    const [open, shut] = d.pick([
      ['(', ')'],
      ['{', '}'],
      ['"', '"'],
      ["'", "'"],
      ['<', '>'],
      ['`', '`'],
      ['("', '")'],
    ])
    const glue = d.pick([' ', ',', '-', ':', '_', '/', '+', '","', '; ', ':"', '": ', ', "', '.'])
    const whole = open + words.join(glue) + shut
    lines.push(
      d.pick([
        `${whole} = ${whole}`,
        `${words.join(' ')} -> ${whole}`,
        `${whole} gives ${words.join(' ')}`,
        `in ${whole} stand ${words.join(', ')}`,
      ]),
    )
  }
  return lines.join('\n')
}

const kinds = { questions, digest, echo, lists, tables, letter, story, signs }

/**
 * Shares of the kinds: a broad mixture to begin with, then one that asks more often who, where and how many at once.
 * @type {Record<'broad' | 'focused', [keyof typeof kinds, number][]>}
 */
const mixtures = {
  broad: [
    ['questions', 0.32],
    ['digest', 0.2],
    ['echo', 0.12],
    ['lists', 0.1],
    ['tables', 0.08],
    ['letter', 0.05],
    ['story', 0.05],
    ['signs', 0.08],
  ],
  focused: [
    ['questions', 0.27],
    ['digest', 0.35],
    ['echo', 0.08],
    ['lists', 0.07],
    ['tables', 0.05],
    ['letter', 0.1],
    ['story', 0.03],
    ['signs', 0.05],
  ],
}

/** One document. @param {Dice} d @param {keyof typeof mixtures} mixture */
export function document(d, mixture) {
  let left = d.stream.uniform()
  for (const [kind, share] of mixtures[mixture]) {
    left -= share
    if (left < 0) return kinds[kind](d)
  }
  return questions(d)
}
