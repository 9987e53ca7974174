import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import golden from '../../test/goldens/text/templates.json' with { type: 'json' }
import { sharedPath } from '../../test/setup/shared.ts'
import { MARKED_TEMPLATE, PLAIN_TEMPLATE, tinyTokenizer } from '../../test/setup/tiny-tokenizer.ts'
import { assistantText } from './assistant-text.ts'
import { ChatTemplate, type Message } from './chat-template.ts'
import { loadTokenizer } from './load-tokenizer.ts'
import { tokensInSpans } from './token-spans.ts'
import type { Tokenizer } from './tokenizer.ts'

const TOKENS = { bos_token: '<s>', eos_token: '</s>' }
const CHAT: Message[] = [
  { role: 'user', content: 'hi' },
  { role: 'assistant', content: '\nhello 🙂 ' },
  { role: 'user', content: 'e\u0301' },
  { role: 'assistant', content: 'bye\n' },
]

function template(text: string): ChatTemplate {
  return new ChatTemplate({ templates: { default: text }, file: 'chat_template.jinja', specialTokens: TOKENS })
}

function undated(text: string): string {
  const now = new Date()
  const pad = (n: number) => String(n).padStart(2, '0')
  const month = now.toLocaleString('en-US', { month: 'short' })
  return text
    .replaceAll(`${pad(now.getDate())} ${month} ${now.getFullYear()}`, '#'.repeat(11))
    .replaceAll(`${now.getFullYear()}-${pad(now.getMonth() + 1)}-${pad(now.getDate())}`, '#'.repeat(10))
}

interface GoldenCase {
  sha256?: string
  length?: number
  spans?: number[][]
  error?: string
}
const chats: Record<string, { messages: Message[]; tools?: unknown[]; add_generation_prompt?: boolean }> = golden.chats
const templates: Record<string, Record<string, GoldenCase>> = golden.templates

describe.each(Object.entries(templates))('%s against transformers', (name, cases) => {
  const own = fileURLToPath(new URL(`../../test/goldens/text/templates/${name}`, import.meta.url))
  const path = existsSync(own) ? own : sharedPath('data/chat-templates', name)
  it.skipIf(path === undefined).each(Object.entries(cases))('%s', (chatName, expected) => {
    const chat = chats[chatName]
    if (chat === undefined || path === undefined) throw new Error(`no chat ${chatName}`)
    const options = { tools: chat.tools, addGenerationPrompt: chat.add_generation_prompt ?? false }
    const chosen = template(readFileSync(path, 'utf8'))
    if (expected.error !== undefined) {
      expect(() => chosen.render(chat.messages, options)).toThrow(/refuses these messages/)
      return
    }
    const { text, spans } = chosen.renderMarked(chat.messages, options)
    const plain = undated(text)
    expect({ length: plain.length, spans }).toEqual({ length: expected.length, spans: expected.spans })
    expect(createHash('sha256').update(plain).digest('hex').slice(0, 16)).toBe(expected.sha256)
    expect(chosen.render(chat.messages, options)).toBe(text)
  })
})

describe('what the assistant writes', () => {
  const written = (source: string) => {
    const { text, spans } = assistantText(template(source), CHAT, undefined, new Set(['<|im_end|>']))
    return spans.map(([start, end]) => text.slice(start, end))
  }

  it('is told by marks, else by growing prefixes, without what follows the end of the turn', () => {
    const expected = ['\nhello 🙂 <|im_end|>', 'bye\n<|im_end|>']
    expect(written(MARKED_TEMPLATE)).toEqual(expected)
    expect(written(PLAIN_TEMPLATE)).toEqual(expected)
  })

  it('is refused, with the turn, where a template rewrites earlier turns', () => {
    const hides = `{% for m in messages %}[{{ m.role }}]{{ m.content if loop.last else 'x' }}{% endfor %}`
    expect(() => written(hides)).toThrow(/message 2 \(assistant\).*cannot be told/)
  })

  it('ignores marks in comments and marks that messages contain', () => {
    expect(template('{# {% generation %} #}x').hasMarks()).toBe(false)
    const sly: Message[] = [{ role: 'assistant', content: 'a\uE0F0s0\uE0F1b' }]
    const { text, spans } = assistantText(template(MARKED_TEMPLATE), sly, undefined, new Set())
    expect(spans.map(([start, end]) => text.slice(start, end))).toEqual(['a\uE0F0s0\uE0F1b<|im_end|>'])
  })
})

describe('tokens of spans', () => {
  const roundTrip = (tokenizer: Tokenizer, source: string) => {
    const { text, spans } = assistantText(template(source), CHAT, undefined, new Set(['<|im_end|>']))
    const { ids, inside } = tokensInSpans(tokenizer, text, spans)
    expect(ids).toEqual(tokenizer.encode(text, { addSpecialTokens: false }))
    return tokenizer.decode(
      ids.filter((_, i) => inside[i]),
      { skipSpecialTokens: false },
    )
  }

  it('are exactly the turns, byte-level', () => {
    expect(roundTrip(tinyTokenizer(), MARKED_TEMPLATE)).toBe('\nhello 🙂 <|im_end|>bye\n<|im_end|>')
  })

  const path = sharedPath('data/models/stories260K')
  it.skipIf(path === undefined)('are exactly the turns, SentencePiece style', async () => {
    const turns = roundTrip(await loadTokenizer(path ?? ''), MARKED_TEMPLATE)
    expect(turns).toBe('\nhello 🙂 <|im_end|>bye\n<|im_end|>')
  })
})

describe('errors', () => {
  it('name the file', () => {
    const raising = template(`{{ raise_exception('roles must alternate') }}`)
    expect(() => raising.render(CHAT)).toThrowError(
      expect.objectContaining({
        code: 'data',
        file: 'chat_template.jinja',
        message: expect.stringContaining('roles must alternate'),
      }),
    )
    expect(() => template('{% if %}').render(CHAT)).toThrowError(expect.objectContaining({ code: 'format' }))
    const named = new ChatTemplate({ templates: { rag: '' }, file: 'tokenizer_config.json', specialTokens: {} })
    expect(() => named.render(CHAT)).toThrow(/no chat template named default \(it has: rag\)/)
  })

  it.each([
    ['loops', '{% for i in range(1000000000) %}x{% endfor %}', /too many steps/],
    [
      'loops of loops',
      '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
      /too many steps/,
    ],
    [
      'a walk over one list',
      '{% set r = range(9999) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}',
      /too many/,
    ],
    ['a power', '{% for i in range(10 ** 12) %}{% endfor %}', /too many steps/],
    [
      'doubled texts',
      `{% set n = namespace(t='x') %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}`,
      /too long/,
    ],
    [
      'doubled with ~',
      `{% set n = namespace(t='x') %}{% for i in range(99) %}{% set n.t = n.t ~ n.t %}{% endfor %}`,
      /too long/,
    ],
    [
      'doubled lists',
      '{% set n = namespace(t=[1]) %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}',
      /more than|steps/,
    ],
    [
      'nested lists',
      '{% set n = namespace(t=1) %}{% for i in range(64) %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t }}',
      /more than/,
    ],
    [
      'replacements',
      `{% set n = namespace(t='x') %}{% for i in range(99) %}{% set n.t = n.t.replace('x', 'xxxxxxxx') %}{% endfor %}`,
      /too long|text of/,
    ],
    ['a macro that calls itself', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}', /calls itself/],
    [
      'a value that holds itself',
      '{% set n = namespace() %}{% set n.a = n %}{% set n.b = n %}{{ n | tojson }}',
      /too deeply/,
    ],
  ])('end, whatever a template does: %s', (_name, source, message) => {
    const error = template(source)
    expect(() => error.render(CHAT)).toThrowError(
      expect.objectContaining({ code: 'data', file: 'chat_template.jinja', message: expect.stringMatching(message) }),
    )
  })

  it('leave room for long conversations', () => {
    const long = Array.from({ length: 2000 }, (_, i) => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: 'word '.repeat(400),
    }))
    expect(template(MARKED_TEMPLATE).render(long).length).toBeGreaterThan(4_000_000)
  })

  it('refuse a template without end, and one nested without end', () => {
    expect(() => template('x'.repeat(2 ** 20 + 1)).render(CHAT)).toThrow(/cannot be read: it has 1048577 characters/)
    expect(() => template(`{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`).render(CHAT)).toThrow(
      /nested too deeply/,
    )
  })

  it('print, add and compare as Python does', () => {
    const source = `{{ none }} {{ true }} {{ [1, 'a', "it's", none, 1.0] }} {{ {'k': false} }} {{ nothing }} {{ 1 == '1' }} {{ [1] == [1] }} {{ 'a' in ['a'] }} {{ none | trim }} {{ ['a'] | upper }} {{ none | selectattr('x') | list | length }}`
    expect(template(source).render([])).toBe(
      `None True [1, 'a', "it's", None, 1.0] {'k': False}  False True True None ['A'] 0`,
    )
    expect(() => template(`{{ 'a' + none }}`).render([])).toThrow(/can only join a text to a text, not to NoneType/)
  })

  it('write JSON as json.dumps does, and walk what is undefined and texts as Jinja does', () => {
    const v = { é: [1e-7, true, null, {}], a: '\x7f\n/"' }
    const render = (source: string) => template(source).render([], { variables: { v } })
    // As transformers 5.24 renders them.
    expect(render('{{ v | tojson }}')).toBe('{"é": [1e-07, true, null, {}], "a": "\x7f\\n/\\""}')
    expect(render('{{ v | tojson(true, 1) }}')).toBe(
      '{\n "\\u00e9": [\n  1e-07,\n  true,\n  null,\n  {}\n ],\n "a": "\\u007f\\n/\\""\n}',
    )
    expect(render(`{{ v | tojson(separators=(',', ':'), sort_keys=true) }}`)).toBe(
      '{"a":"\x7f\\n/\\"","é":[1e-07,true,null,{}]}',
    )
    expect(render('{% for x in nothing %}never{% else %}none{% endfor %}')).toBe('none')
    expect(render(`{% for c in 'é🙂' %}[{{ c }}]{% endfor %}`)).toBe('[é][🙂]')
    expect(() => render('{{ nothing | tojson }}')).toThrow(/undefined/)
    expect(() => render('{{ v | tojson(indent=1000000000) }}')).toThrow(/indents by/)
  })

  it('give messages on as apply_chat_template does: null fields left out, reasoning under each name', () => {
    const source = `{% for m in messages %}{{ m.reasoning_content }}|{{ m.thinking }}|{{ 'content' in m }};{% endfor %}`
    const messages = [
      { role: 'assistant', thinking: 'a', content: null },
      { role: 'assistant', reasoning: 'b', content: '' },
      { role: 'assistant', reasoning_content: 'c', thinking: 'd' },
      { role: 'assistant', content: 'e' },
    ]
    expect(template(source).render(messages)).toBe('a|a|False;b|b|True;c|d|False;||True;')
  })

  it('strips the characters it is told to', () => {
    const source = `[{{ "xx a x".strip("x") }}][{{ m.lstrip("\\n") }}][{{ " b ".rstrip() }}][{{ (m.split("<")[0]).rstrip("\\n ") }}]`
    const chosen = template(source)
    expect(chosen.render([], { variables: { m: '\n c\n <' } })).toBe('[ a ][ c\n <][ b][\n c]')
  })

  it('uses tool_use where there are tools', () => {
    const two = new ChatTemplate({ templates: { default: 'd', tool_use: 't' }, file: 'f', specialTokens: {} })
    expect([two.render([]), two.render([], { tools: [] })]).toEqual(['d', 't'])
  })
})
