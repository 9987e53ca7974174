import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { pythonFullMatch, pythonMatch } from './python-regex.ts'

const names = [
  'model.layers.0.self_attn.q_proj',
  'model.layers.10.self_attn.v_proj',
  'model.layers.1.mlp.down_proj',
  'transformer.h.0.attn.c_attn',
  'a{b}',
  'x-y_z',
  'Foo.BAR',
  '[]^',
  'aaab',
  'lm_head',
]

/** Pattern and the names that Python 3.11's re.fullmatch accepts (checked against a Python below where there is one). */
const patterns: [pattern: string, matches: string[]][] = [
  ['.*\\.(q|v)_proj', [names[0] ?? '', names[1] ?? '']],
  ['q_proj', []],
  ['lm_head|foo', ['lm_head']],
  ['(?i)foo\\.bar', ['Foo.BAR']],
  ['(?P<x>a)(?P=x)ab', ['aaab']],
  ['model\\.layers\\.(?!10)\\d+\\..*', [names[0] ?? '', names[2] ?? '']],
  ['.*\\.\\d{,1}\\..*', [names[0] ?? '', names[2] ?? '', names[3] ?? '']],
  ['a{b}', ['a{b}']],
  ['x\\-y\\_z', ['x-y_z']],
  ['[]^[]+', ['[]^']],
  ['[^]a-z]*', []],
  ['\\Alm_\\w+\\Z', ['lm_head']],
  ['.*(?<=q_)proj', [names[0] ?? '']],
  ['(?:a)*b', ['aaab']],
  ['a{3}(?#three)b', ['aaab']],
  ['\\x61+\\u0062', ['aaab']],
  ['(a)\\1\\1b', ['aaab']],
  ['[\\w.]+_(?:proj|head)$', [names[0] ?? '', names[1] ?? '', names[2] ?? '', 'lm_head']],
]

describe('Python regular expressions', () => {
  it.each(patterns)('%s', (pattern, matches) => {
    expect(names.filter((name) => pythonFullMatch(pattern, name, 'target_modules'))).toEqual(matches)
  })

  it('match is anchored at the start only', () => {
    expect(pythonMatch('model|x', 'model.layers', 'f')?.[0]).toBe('model')
    expect(pythonMatch('layers', 'model.layers', 'f')).toBeNull()
    expect(pythonMatch('.*?\\.(?P<idx>\\d+)\\.', 'a.12.b.3.c', 'f')?.groups?.idx).toBe('12')
  })

  it.each(['(?i:a)', 'a++', '(?>a)', '(a)?(?(1)b|c)', '(?x) a', 'a\\N{DASH}', '[a', '(a', 'a(?i)b', 'a**'])(
    'refuses %s by name',
    (pattern) => {
      expect(() => pythonFullMatch(pattern, 'a', 'target_modules')).toThrow(/^target_modules: regular expression/)
    },
  )

  it.skipIf(!existsSync('/usr/bin/python3'))('agrees with a Python on this machine', () => {
    const script =
      'import json,re,sys\nps,ns=json.load(sys.stdin)\nprint(json.dumps([[n for n in ns if re.fullmatch(p,n)] for p in ps]))'
    const input = JSON.stringify([patterns.map(([p]) => p), names])
    const theirs = JSON.parse(execFileSync('/usr/bin/python3', ['-c', script], { input, encoding: 'utf8' }))
    expect(theirs).toEqual(patterns.map(([, matches]) => matches))
  })
})
