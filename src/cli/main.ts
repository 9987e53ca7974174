/**
 * @file From a command line to an exit code: finds the verb, reads its options, renders whatever goes wrong.
 * Must not know what a verb does.
 */
import { laterVerbs } from '../config/later.ts'
import { isVerbName, summaries, type VerbName } from '../config/summaries.ts'
import { LowrankError } from '../support/errors.ts'
import { nearest } from '../support/nearest.ts'
import { errorReport, errorText, exitCode, exitCodes } from './errors.ts'
import { openFace, watchInterrupts } from './face.ts'
import { openTerminal, type Terminal } from './terminal.ts'

/** Runs one command line; never throws. Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const terminal = openTerminal()
  const json = argv.includes('--json')
  try {
    const [first, ...rest] = argv
    if (first === undefined || first === '--help' || first === '-h' || (first === 'help' && rest.length === 0)) {
      terminal.write(overview(terminal))
      return exitCodes.done
    }
    if (first === '--version' || first === '-v') {
      const { version } = await import('../support/version.ts')
      terminal.write(`${version}\n`)
      return exitCodes.done
    }
    if (first === 'help') return await runVerb(findVerb(rest[0] ?? ''), ['--help'], terminal)
    return await runVerb(findVerb(first), rest, terminal)
  } catch (error) {
    terminal.status('')
    if (json) terminal.write(`${JSON.stringify(errorReport(error))}\n`)
    else terminal.say(errorText(error, terminal.err, (process.env.LOWRANK_DEBUG ?? '') !== ''))
    return exitCode(error)
  }
}

function findVerb(word: string): VerbName {
  if (isVerbName(word)) return word
  if (laterVerbs.has(word))
    throw new LowrankError('usage', `${word} comes in a later version of lowrank`, { field: word })
  const known = Object.keys(summaries)
  const what = word.startsWith('-') ? `the verb comes first: lowrank VERB ${word}` : `"${word}" is no verb of lowrank`
  throw new LowrankError('usage', `${what} (it has ${known.join(', ')})`, {
    field: word,
    suggestion: nearest(word, known)[0],
  })
}

async function runVerb(name: VerbName, argv: readonly string[], terminal: Terminal): Promise<number> {
  const [{ verbs }, { parseFlags }] = await Promise.all([
    import('../config/verbs/index.ts'),
    import('../config/flags.ts'),
  ])
  const spec = verbs[name]
  if (argv.includes('--help') || argv.includes('-h')) {
    const { verbHelp } = await import('../config/help.ts')
    terminal.write(verbHelp(spec, terminal.width, terminal.out))
    return exitCodes.done
  }
  const line = parseFlags(spec, argv)
  const file =
    line.config === undefined ? {} : await (await import('../config/run-file.ts')).readRunFile(spec, line.config)
  const { loadVerb } = await import('./verbs/index.ts')
  const interrupts = watchInterrupts(terminal)
  try {
    const run = await loadVerb(name, { ...file, ...line.settings })
    return (await run(openFace(terminal, line.json, interrupts.signal))) ?? exitCodes.done
  } finally {
    interrupts.release()
    terminal.status('')
  }
}

/** The page of `lowrank --help`. */
function overview({ out }: Terminal): string {
  const verbs = Object.entries(summaries).map(([name, summary]) => `  ${out.flag(name.padEnd(12))}${summary}`)
  return [
    'lowrank: fine-tune language models with LoRA, in Node, without Python.',
    '',
    out.heading('Usage'),
    '  lowrank VERB [options]',
    '',
    out.heading('Verbs'),
    ...verbs,
    '',
    out.heading('Start here'),
    `  ${out.flag('lowrank quickstart')}`,
    `  ${out.flag('lowrank train --model lowrank-tiny --data rows.jsonl')}`,
    `  ${out.flag('lowrank VERB --help')}${out.faint('          options and examples of a verb')}`,
    '',
    'Results go to stdout, progress to stderr; --json prints JSON. Exit codes: 0 done, 1 failed, 2 wrong usage,',
    '130 stopped by Ctrl-C after saving.',
    '',
  ].join('\n')
}
