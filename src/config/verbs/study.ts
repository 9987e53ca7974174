/** @file Options of `study`. Must not know how runs are made or measured. */
import { boolean, choice, countOrList, integer, option, optionMap, optionMaps, text } from '../option.ts'
import { needs, verb } from '../verb.ts'

const runs = 'Runs'
const seeds = 'Seeds'
const seedList = 'how many, or a list of whole numbers'

export const studyVerb = verb(
  'study',
  {
    base: option(runs, optionMap('options of train by name').optional(), 'Options of train that every run has.'),
    grid: option(
      runs,
      optionMap('options of train, each with a list of values').optional(),
      'Options of train, each with the values it takes; all of them crossed.',
    ),
    settings: option(
      runs,
      optionMaps('a list of named sets of options, as "- name: baseline"').optional(),
      'Named sets of options (`name` and options of train); crossed with the grid where there is one.',
    ),
    seeds: option(
      seeds,
      countOrList(seedList).optional(),
      'Seeds of both data order and new weights: how many (1, 2, …), or which.',
      {
        defaultText: '5',
      },
    ),
    dataSeeds: option(
      seeds,
      countOrList(seedList).optional(),
      'Seeds of order and dropout alone, crossed with --init-seeds.',
    ),
    initSeeds: option(
      seeds,
      countOrList(seedList).optional(),
      'Seeds of new weights alone, crossed with --data-seeds.',
    ),
    metric: option(
      'Result',
      choice(['auto', 'loss', 'accuracy', 'macroF1', 'matthews', 'pearson', 'spearman', 'precision', 'recall', 'f1']) //
        .default('auto'),
      'Figure that is compared; auto: accuracy of classifiers, Pearson of regression, F1 of entities, else loss.',
    ),
    output: option('Result', text('FOLDER', 'a folder').optional(), 'Folder of the study.', {
      defaultText: 'runs/<date>-study',
    }),
    keepRuns: option(
      'Result',
      boolean().default(false),
      'Keep the weights and checkpoints of finished runs, not only log, settings and result.',
    ),
    resume: option(
      'Result',
      boolean().default(false),
      'Go on with the study in the output folder: only what is missing.',
    ),
    workers: option(
      'Machine',
      integer(1, 64).default(1),
      'Processes that run at the same time and share the threads; 1: one run after another in this process.',
    ),
  },
  {
    examples: [
      { command: 'lowrank study --config study.yaml --output runs/few-sample', does: 'every setting with every seed' },
      {
        command: 'lowrank study --config study.yaml --output runs/few-sample --resume',
        does: 'go on where it was stopped or killed',
      },
    ],
    exclusive: [
      ['seeds', 'dataSeeds'],
      ['seeds', 'initSeeds'],
    ],
    rules: [needs(['base', 'settings'], 'study needs {base}: options of train, in the file that --config names')],
    notes:
      'Writes study.json, study.html, and for each run a record beside its folder, as runs/SETTING/seed-1.json. A run whose numbers stop ' +
      'being numbers counts as failed and the study goes on; a wrong option stops it before the first run.',
  },
)
