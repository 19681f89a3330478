import t from 'tap'

import { NumberedTail } from '../../lib/transports/numbered-tail.js'

const TEXT = '","id":"é","seq":'

function after (numbers: readonly number[]): string[] {
  const tail = new NumberedTail(TEXT)
  return numbers.map((number) => Buffer.from(tail.at(number)).toString())
}

function expected (numbers: readonly number[]): string[] {
  return numbers.map((number) => `${TEXT}${number}}`)
}

t.test('a tail ends with its number, whatever the one before', async (t) => {
  const cases = [
    Array.from({ length: 2_100 }, (_, i) => i),
    [0, 0, 1, 1],
    [8, 9, 10, 19, 20, 99, 100, 1_999, 2_000],
    [7, 12, 34, 56, 789, 790, 12_345, 12_999, 13_000],
    [500, 499, 1_000, 1, 1_000_000, 999_999],
    [1, 2_147_483_647, 2_147_483_648, 2_147_483_649, 4_294_967_296],
    [0, 9_999_999_999, 10_000_000_000, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER],
    [1_000_000_000, 3_147_483_647, 9_000_000_000]
  ]
  for (const numbers of cases) t.strictSame(after(numbers), expected(numbers), numbers.slice(0, 9).join())
})

t.test('it writes them anew only where there is a digit more, or one before comes again', async (t) => {
  const tail = new NumberedTail(TEXT)
  const first = tail.at(10)
  t.equal(tail.at(11), first)
  t.equal(tail.at(99), first)
  t.not(tail.at(100), first)
  t.not(tail.at(10), first)
})
