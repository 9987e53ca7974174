/** @file `lowrank inspect` at a terminal: one screen. Must not know file formats. */
import type { InspectOptions } from '../../config/verbs/index.ts'
import { inspect } from '../../run/inspect.ts'
import type { InspectResult, StudyFacts } from '../../run/types.ts'
import { bytes, count, duration, short } from '../../support/human.ts'
import type { Face } from '../face.ts'
import { figure } from '../study-table.ts'
import { table } from '../table.ts'
import type { Palette } from '../terminal.ts'

/** Groups shown; the rest is summed up in one line, so that a page stays a page. */
const MAX_GROUPS = 16

export async function inspectFace(options: InspectOptions, face: Face): Promise<undefined> {
  const result = await inspect(options)
  if (face.json) face.emit(result)
  else face.terminal.write(inspectPage(result, face.terminal.out))
}

export function inspectPage(result: InspectResult, palette: Palette): string {
  if (result.study) return studyPage(result, result.study, palette)
  const { kind, path, architecture, parameters, tensors, dtype } = result
  const lines = [`${palette.strong(path)}: ${kind}${architecture === null ? '' : `, ${architecture}`}`]
  const types = Object.entries(result.dtypes ?? {}).map(([type, n]) => `${short(n)} ${type}`)
  const facts: [string, string][] = [
    [
      'parameters',
      `${count(parameters)} (${types.length > 0 ? types.join(', ') : dtype}) in ${count(tensors)} tensors, ${bytes(result.bytes)}`,
    ],
    ...modelLines(result),
    ...adapterLines(result),
    ...runLines(result),
    ...loralibLines(result),
    ...Object.entries(result.metadata ?? {})
      .slice(0, 8)
      .map(([key, value]): [string, string] => [key, value.slice(0, 80)]),
  ]
  for (const [name, value] of facts) lines.push(`  ${palette.faint(name.padEnd(12))} ${value}`)
  for (const warning of result.adapter?.warnings ?? []) lines.push(`  ${palette.warn('warning')}      ${warning}`)
  return `${[...lines, '', ...tensorLines(result, palette)].join('\n')}\n`
}

/** A study has runs and no tensors. */
function studyPage({ path }: InspectResult, study: StudyFacts, palette: Palette): string {
  const { settings, seeds, done, total, metric, groups } = study
  const head = `${palette.strong(path)}: study, ${settings} settings × ${seeds} seeds, ${done} of ${total} runs done`
  const rows = groups.map(({ name, n, mean, std }) => [name, String(n), figure(mean), figure(std)])
  const lines = rows.length > 0 ? ['', ...table([['setting', 'runs', metric ?? '', '± std'], ...rows], palette)] : []
  return `${[head, ...lines].join('\n')}\n`
}

function modelLines({ model }: InspectResult): [string, string][] {
  if (model === undefined) return []
  const { layers, hidden, heads, kvHeads, vocabulary, context } = model
  const grouped = kvHeads === undefined || kvHeads === heads ? '' : ` (${kvHeads} key-value)`
  const shape = [`${layers} layers of ${hidden}`, `${heads} heads${grouped}`, `vocabulary ${count(vocabulary ?? 0)}`]
  if (context !== undefined) shape.push(`context ${count(context)}`)
  const texts = [
    model.tokenizer ? 'tokenizer' : 'no tokenizer',
    model.chatTemplate ? 'chat template' : 'no chat template',
  ]
  return [
    ['shape', shape.join(', ')],
    ['text', texts.join(', ')],
    ['lowrank', model.supported ? `builds it (${model.modelType})` : `does not build it: ${model.reason}`],
  ]
}

function adapterLines({ adapter }: InspectResult): [string, string][] {
  if (adapter === undefined) return []
  const { rank, alpha, dropout, targets, extras } = adapter
  const base = row('base', adapter.base || 'not named')
  // Bottlenecks and trained parts have no rank, and choose no modules.
  if (rank === undefined) return [base, ...(extras.length > 0 ? [row('settings', extras.join(', '))] : [])]
  const names =
    typeof targets === 'string' ? targets : targets === undefined ? 'the model’s defaults' : lastNames(targets)
  const settings = [`rank ${rank}`, `alpha ${alpha}`, ...(dropout ? [`dropout ${dropout}`] : []), ...extras]
  return [base, row('settings', settings.join(', ')), row('targets', names)]
}

const row = (name: string, text: string): [string, string] => [name, text]

function loralibLines({ loralib, path }: InspectResult): [string, string][] {
  if (loralib === undefined) return []
  const { rank, modules, fused, biases, head, missing, problems } = loralib
  const besides = [
    ...(fused > 0 ? [`${fused} of them fused (MergedLinear)`] : []),
    ...(biases > 0 ? [`${count(biases)} biases`] : []),
  ]
  return [
    ['saved by', 'microsoft/LoRA (loralib)'],
    ['settings', [`rank ${rank}`, ...besides].join(', ')],
    ['modules', modules.join(', ')],
    ['head', head.length > 0 ? head.join(', ') : 'none'],
    ['not in it', missing.join('; ')],
    ...problems.map((problem): [string, string] => ['problem', problem]),
    ...(problems.length > 0
      ? []
      : [['convert', `lowrank convert ${path} --from loralib --alpha N --output FOLDER`] satisfies [string, string]]),
  ]
}

/** `model.layers.0.q_proj, model.layers.1.q_proj` → `q_proj × 2`: full paths would fill the screen. */
function lastNames(paths: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const path of paths) {
    const name = path.split('.').at(-1) ?? path
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts]
    .sort()
    .map(([name, n]) => (n === 1 ? name : `${name} × ${n}`))
    .join(', ')
}

function runLines({ run }: InspectResult): [string, string][] {
  if (run === undefined) return []
  const of = run.totalSteps === undefined ? '' : ` of ${count(run.totalSteps)}`
  const loss = run.loss === undefined ? '' : `, loss ${run.loss.toFixed(4)}`
  const evaluated = run.evalLoss === undefined ? '' : `, eval loss ${run.evalLoss.toFixed(4)}`
  const time = run.seconds === undefined ? '' : `, ${duration(run.seconds)}`
  const lines: [string, string][] = [['run', `step ${count(run.steps)}${of}${loss}${evaluated}${time}`]]
  if (run.checkpoints.length > 0) lines.push(['checkpoints', run.checkpoints.join(', ')])
  return lines
}

function tensorLines({ list, groups }: InspectResult, palette: Palette): string[] {
  if (list !== undefined)
    return table(
      [['tensor', 'dtype', 'shape'], ...list.map(({ name, dtype, shape }) => [name, dtype, `[${shape.join(', ')}]`])],
      palette,
    )
  const shown = groups.length > MAX_GROUPS + 1 ? groups.slice(0, MAX_GROUPS) : groups
  const rows = shown.map((group) => [
    group.pattern,
    `${group.count} ×`,
    `[${group.shape.join(', ')}]${group.varied ? ' …' : ''}`,
    group.dtype,
    short(group.parameters),
  ])
  const rest = groups.slice(shown.length)
  const lines = table([['tensors', '', 'shape', 'dtype', 'parameters'], ...rows], palette)
  if (rest.length > 0) {
    const sum = rest.reduce((total, group) => total + group.parameters, 0)
    lines.push(palette.faint(`  and ${rest.length} smaller groups with ${short(sum)} parameters (--tensors lists all)`))
  }
  return lines
}
