import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { pythonWith } from '../../test/setup/python.ts'
import { f32, type HostTensor, i64, tensor } from '../tensor/host-tensor.ts'
import { bufferSource } from './byte-source.ts'
import { parseTorch, readTorchTensors } from './torch-file.ts'
import { serializeTorch, writeTorchFile } from './torch-write.ts'

const folder = mkdtempSync(join(tmpdir(), 'lowrank-torch-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const tensors = new Map<string, HostTensor>([
  ['a.lora_A', f32([2, 3], [1, -2, 3.5, 4, 5, 6])],
  ['empty', f32([0, 2], [])],
  ['scalar', f32([], [7])],
  ['half', tensor('bf16', [2], Uint16Array.of(0x3f80, 0xc000))],
  ['ids', i64([2], [-1, 2 ** 40])],
  ['naïve', tensor('bool', [3], Uint8Array.of(1, 0, 1))],
])

describe('writing torch files', () => {
  it('reads back as it was, every storage aligned', async () => {
    const source = bufferSource('x.bin', serializeTorch(tensors))
    expect(await readTorchTensors(source)).toEqual(tensors)
    for (const { offset } of (await parseTorch(source)).entries.values()) expect(offset % 64).toBe(0)
  })

  it('refuses what torch has no storage for', () => {
    expect(() => serializeTorch(new Map([['u', tensor('u32', [1], Uint32Array.of(1))]]), 'f.bin')).toThrow(
      /u of type u32/,
    )
  })

  const python = pythonWith('torch')
  it.skipIf(python === undefined)('opens in torch.load', async () => {
    const file = join(folder, 'state.bin')
    await writeTorchFile(file, tensors)
    const script = `import torch, json, sys
d = torch.load(sys.argv[1], weights_only=True)
print(json.dumps({k: [str(v.dtype), list(v.shape), v.tolist()] for k, v in d.items()}))`
    const out = execFileSync(python ?? '', ['-c', script, file], { encoding: 'utf8' })
    expect(JSON.parse(out)).toEqual({
      'a.lora_A': [
        'torch.float32',
        [2, 3],
        [
          [1, -2, 3.5],
          [4, 5, 6],
        ],
      ],
      empty: ['torch.float32', [0, 2], []],
      scalar: ['torch.float32', [], 7],
      half: ['torch.bfloat16', [2], [1, -2]],
      ids: ['torch.int64', [2], [-1, 2 ** 40]],
      naïve: ['torch.bool', [3], [true, false, true]],
    })
  })
})
