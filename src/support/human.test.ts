import { expect, it } from 'vitest'
import { bytes, count, duration, percent, short, significant } from './human.ts'

it('writes numbers as people read them', () => {
  expect([0, 999, 1000, 1234567].map(count)).toEqual(['0', '999', '1,000', '1,234,567'])
  expect([9999, 10_000, 134_515_008, 7.24e9].map(short)).toEqual(['9,999', '10 K', '135 M', '7.24 B'])
  expect([512, 1024, 250_000, 1.5 * 1024 ** 3].map(bytes)).toEqual(['512 B', '1 KiB', '244 KiB', '1.5 GiB'])
  expect([0.04, 9.94, 59.4, 75, 4000, Number.NaN].map(duration)).toEqual([
    '0.0 s',
    '9.9 s',
    '59 s',
    '1 min 15 s',
    '1 h 7 min',
    '?',
  ])
  expect([0, 0.0037, 0.123, 1].map(percent)).toEqual(['0 %', '0.37 %', '12 %', '100 %'])
  expect([2e-4, 1.5e-5, 0.03125, 12.345, 1234.5, 2e7, -0.5, 0].map((n) => significant(n))).toEqual([
    '2e-4',
    '1.5e-5',
    '0.0313',
    '12.3',
    '1235',
    '2e7',
    '-0.5',
    '0',
  ])
})
