/**
 * @file Relations between a person and a value: how they are told, how they are asked for.
 * Must not know how documents are laid out.
 */
import {
  animals,
  clock,
  coined,
  day,
  number,
  plural,
  scramble,
  thing,
  town,
  trades,
  weekdays,
  withArticle,
} from './words.mjs'

/** @typedef {import('./words.mjs').Dice} Dice */
/**
 * One kind of fact. In `told`, P stands for the person and V for the value; `asked` are questions whose answer is V,
 * `label` is a short name of the field. `put` dresses the value for the telling (an article, say), the answer stays bare.
 * @typedef {{ label: string, value: (d: Dice) => string, put?: (v: string) => string, told: string[], asked: string[], about?: string[] }} Relation
 */

/** @type {Relation[]} */
export const relations = [
  {
    label: 'home',
    value: town,
    told: [
      'P lives in V.',
      'P has a house in V.',
      'V is the home of P.',
      'In V there lives one P.',
      'P grew up in V and stayed there.',
      'The people of V know P well.',
    ],
    asked: ['Where does P live?', 'In which town is the house of P?', 'What is the home of P?'],
    about: ['Who lives in V?', 'Who has a house in V?'],
  },
  {
    label: 'goal',
    value: town,
    told: [
      'P is on the road to V.',
      'P went to V.',
      'P took the night train to V.',
      'Tomorrow P leaves for V.',
      'The ship brought P to V.',
      'P wants to see V.',
    ],
    asked: ['Where did P go?', 'Where is P going?', 'Which town will P see?'],
    about: ['Who went to V?'],
  },
  {
    label: 'trade',
    value: (d) => (d.chance(0.5) ? coined(d) : d.pick(trades)),
    put: withArticle,
    told: ['P is V.', 'P works as V.', 'For years P was V.', 'P learned to be V.'],
    asked: ['What is the trade of P?', 'What does P work as?'],
    about: ['Who works as {V}?'],
  },
  {
    label: 'animal',
    value: (d) =>
      `${d.pick(['old', 'grey', 'lame', 'young', coined(d), 'white'])} ${d.chance(0.4) ? coined(d) : d.pick(animals)}`,
    put: withArticle,
    told: ['P keeps V.', 'P has V in the yard.', 'V follows P everywhere.', 'P feeds V every morning.'],
    asked: ['What does P keep?', 'Which animal has P?', 'What follows P?'],
    about: ['Who keeps {V}?'],
  },
  {
    label: 'found',
    value: thing,
    put: withArticle,
    told: [
      'P found V under the bridge.',
      'P has found V.',
      'One day P dug up V.',
      'V was found by P.',
      'P came home with V.',
      'Look, P has V!',
    ],
    asked: ['What did P find?', 'What has P found?', 'What was it that P dug up?'],
    about: ['Who found {V}?'],
  },
  {
    label: 'lost',
    value: thing,
    put: withArticle,
    told: ['P lost V.', 'P has lost V somewhere near the mill.', 'V of P is gone.', 'P is looking for V.'],
    asked: ['What did P lose?', 'What is P looking for?'],
  },
  {
    label: 'age',
    value: (d) => String(d.between(3, 99)),
    told: [
      'P is V years old.',
      'P turned V last week.',
      'At V P still climbs hills.',
      'P, aged V, sings in the choir.',
    ],
    asked: ['How old is P?', 'What is the age of P?'],
    about: ['Who is V years old?'],
  },
  {
    label: 'day',
    value: day,
    told: ['P was born on V.', 'P came back on V.', 'On V P fell ill.', 'V was a bad day for P.', 'P stays until V.'],
    asked: ['On which day was that for P?', 'Which day does the text give for P?'],
  },
  {
    label: 'hour',
    value: clock,
    told: ['P gets up at V.', 'At V P rings the bell.', 'P came in at V sharp.', 'By V P was asleep.'],
    asked: ['At what time was that for P?', 'Which hour goes with P?'],
  },
  {
    label: 'weekday',
    value: (d) => d.pick(weekdays),
    told: ['P rests on V.', 'Every V P walks by the sea.', 'P will be back by V.', 'V is when P sings.'],
    asked: ['On which weekday was that for P?'],
  },
  {
    label: 'code',
    value: scramble,
    told: [
      'The sign over the door of P reads V.',
      'P wrote V on the wall.',
      'The mark of P is V.',
      'P has the number V.',
    ],
    asked: ['What is the mark of P?', 'Which sign goes with P?', 'What did P write?'],
  },
  {
    label: 'word',
    value: coined,
    told: ['P says V when it rains.', 'The favourite word of P is V.', 'P calls the hill V.', '"V!" cried P.'],
    asked: ['Which word did P use?', 'What does P say?'],
  },
]

/**
 * A count and the thing counted: two values in one sentence.
 * @type {{ told: string[], many: string[], what: string[] }}
 */
export const counting = {
  told: [
    'P counted N T on the shore.',
    'P saw N T.',
    'There were N T in the shed of P.',
    'P owns N T.',
    'P carried N T up the hill.',
    'N T stood behind P.',
    'With N T P was rich.',
    'P made N T out of clay.',
  ],
  many: ['How many T were there?', 'How many T had P?', 'How many were there with P?'],
  what: ['What did P have N of?', 'What were the N things of P?', 'What was counted by P?'],
}

/** @param {string} pattern @param {Record<string, string>} values */
export function fill(pattern, values) {
  const text = pattern.replace(/\{V\}|\b[PVNT]\b/g, (mark) => values[mark] ?? values[mark.charAt(1)] ?? mark)
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/**
 * @typedef {{ text: string, label: string, answer: string, questions: { ask: string, answer: string }[] }} Fact
 * @param {Dice} d @param {string} person @param {Relation} relation @returns {Fact}
 */
export function tell(d, person, relation) {
  const value = relation.value(d)
  const put = relation.put === undefined ? value : relation.put(value)
  const questions = [{ ask: fill(d.pick(relation.asked), { P: person }), answer: value }]
  if (relation.about !== undefined && d.chance(0.35))
    questions.push({ ask: fill(d.pick(relation.about), { V: value, '{V}': put }), answer: person })
  return { text: fill(d.pick(relation.told), { P: person, V: put }), label: relation.label, answer: value, questions }
}

/** @param {Dice} d @param {string} person @returns {Fact} */
export function tellCount(d, person) {
  const values = { P: person, N: number(d), T: plural(thing(d)) }
  return {
    text: fill(d.pick(counting.told), values),
    label: 'count',
    answer: `${values.N} ${values.T}`,
    questions: [
      { ask: fill(d.pick(counting.many), values), answer: values.N },
      { ask: fill(d.pick(counting.what), values), answer: values.T },
    ],
  }
}
