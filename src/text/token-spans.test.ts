import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import golden from '../../test/goldens/text/masks.json' with { type: 'json' }
import { sharedPath } from '../../test/setup/shared.ts'
import { tinyTokenizer } from '../../test/setup/tiny-tokenizer.ts'
import { assistantText } from './assistant-text.ts'
import { ChatTemplate } from './chat-template.ts'
import { loadTokenizer } from './load-tokenizer.ts'
import { tokensInSpans } from './token-spans.ts'

const shared = sharedPath('data')

describe('masks of assistant tokens against transformers', () => {
  it.skipIf(shared === undefined).each(golden.cases)(
    '$folder $template',
    async ({ folder, template, skip, ids, mask }) => {
      const root = join(shared ?? '', '..')
      const tokenizer = await loadTokenizer(join(root, folder))
      const source = readFileSync(join(root, template), 'utf8')
      const specialTokens = { bos_token: '<s>', eos_token: '</s>' }
      const chat = new ChatTemplate({ templates: { default: source }, file: template, specialTokens })
      const { text, spans } = assistantText(chat, golden.messages.slice(skip), undefined, tokenizer.addedTokens)
      const tokens = tokensInSpans(tokenizer, text, spans)
      const spaced = `[${tokens.ids.join(', ')}]`
      expect(tokens.inside.map(Number).join('')).toBe(mask)
      expect(createHash('sha256').update(spaced).digest('hex').slice(0, 16)).toBe(ids)
    },
  )
})

describe('any text', () => {
  it('gives the ids of the whole text, and tokens inside cover the span', () => {
    const tokenizer = tinyTokenizer()
    const text = fc.string({ unit: 'grapheme', maxLength: 12 })
    fc.assert(
      fc.property(text, text, text, (before, middle, after) => {
        const whole = before + middle + after
        const span = [before.length, before.length + middle.length] as const
        const { ids, inside } = tokensInSpans(tokenizer, whole, [span])
        expect(ids).toEqual(tokenizer.encode(whole))
        const covered = tokenizer.decode(ids.filter((_, i) => inside[i]))
        expect(covered.includes(middle) && whole.includes(covered)).toBe(true)
        const outside = tokenizer.decode(ids.filter((_, i) => !inside[i]))
        expect((before + after).length - outside.length).toBeLessThanOrEqual(2) // a merged pair at either end
      }),
    )
  })
})
