import { describe, expect, it } from 'vitest'
import { alpacaPrompt, conversations } from './conversation.ts'

const CALL = { name: 'now', arguments: { zone: 'UTC' } }

describe('sharegpt', () => {
  const turns = [
    { from: 'human', value: 'Time?' },
    { from: 'function_call', value: JSON.stringify(CALL) },
    { from: 'observation', value: '9' },
    { from: 'gpt', value: 'Nine.' },
  ]
  it('becomes messages with calls and results', () => {
    const row = { conversations: turns, system: 'Be brief.', tools: '[{"name":"now","parameters":{}}]' }
    expect(conversations.sharegpt(row)).toEqual({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Time?' },
        { role: 'assistant', content: '', tool_calls: [{ type: 'function', function: CALL }] },
        { role: 'tool', content: '9' },
        { role: 'assistant', content: 'Nine.' },
      ],
      tools: [{ type: 'function', function: { name: 'now', parameters: {} } }],
    })
    expect(conversations.sharegpt({ conversations: turns, tools: '[]' }).tools).toBeUndefined()
  })
  it('may hold several calls in a turn, and messages under its name', () => {
    const two = { from: 'function_call', value: JSON.stringify([CALL, { name: 'b' }]) }
    expect(conversations.sharegpt({ conversations: [two] }).messages[0]?.tool_calls).toHaveLength(2)
    const messages = [{ role: 'user', content: 'a' }]
    expect(conversations.sharegpt({ conversations: messages }).messages).toEqual(messages)
  })
  it.each([
    [[], /conversations is \[\], not a list of at least one turn/],
    [[{ from: 'humn', value: 'a' }], /conversations\[0\] is from "humn", not one of human, user/],
    [[{ from: 'gpt', value: 5 }], /conversations\[0\] is .*, not an object with from and value/],
    [[{ from: 'function_call', value: 'now()' }], /conversations\[0\] is "now\(\)", which is not JSON/],
    [[{ from: 'function_call', value: '{"call":1}' }], /not a call with name and arguments/],
  ])('refuses %j', (value, message) => {
    expect(() => conversations.sharegpt({ conversations: value })).toThrow(message)
  })
})

describe('messages', () => {
  it('have arguments as objects, content as text where its parts are texts, and tools from JSON', () => {
    const call = { id: 'c', type: 'function', function: { name: 'now', arguments: '{"zone":"UTC"}' } }
    const { messages, tools } = conversations.messages({
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', value: 'b' },
          ],
        },
        { role: 'assistant', content: null, tool_calls: [call] },
      ],
      tools: '[{"type":"function","function":{"name":"now"}}]',
    })
    expect(messages[0]?.content).toBe('ab')
    expect(messages[1]).toEqual({
      role: 'assistant',
      content: null,
      tool_calls: [{ ...call, function: { name: 'now', arguments: { zone: 'UTC' } } }],
    })
    expect(tools).toEqual([{ type: 'function', function: { name: 'now' } }])
  })
  it('refuse weights that would be ignored', () => {
    const weighted = (role: string, loss_weight: number) => () =>
      conversations.messages({ messages: [{ role, content: 'a', loss_weight }] })
    expect(weighted('assistant', 1)).not.toThrow()
    expect(weighted('user', 0)).not.toThrow()
    expect(weighted('assistant', 0)).toThrow(/messages\[0\] has loss_weight 0: turns cannot be weighted/)
    expect(weighted('user', 1)).toThrow(/turns cannot be weighted/)
  })
})

describe('alpaca', () => {
  const row = { instruction: 'Add.', input: '1 2', output: '3' }
  it('becomes a conversation, with its history', () => {
    const { messages } = conversations.alpaca({ ...row, system: 's', history: [['q', 'a']] })
    expect(messages.map(({ role, content }) => [role, content])).toEqual([
      ['system', 's'],
      ['user', 'q'],
      ['assistant', 'a'],
      ['user', 'Add.\n1 2'],
      ['assistant', '3'],
    ])
  })
  it('becomes Stanford’s prompt, with and without input', () => {
    expect(alpacaPrompt(row).prompt).toBe(
      'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:',
    )
    expect(alpacaPrompt({ instruction: 'Go.', output: 'Gone.' })).toEqual({
      prompt:
        'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nGo.\n\n### Response:',
      completion: 'Gone.',
    })
    expect(() => alpacaPrompt({ ...row, history: [['q', 'a']] })).toThrow(/history needs a chat template/)
    expect(() => alpacaPrompt({ instruction: 'a', output: 5 })).toThrow(/output is 5, not a string/)
  })
})
