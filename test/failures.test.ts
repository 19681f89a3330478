import { test } from 'tap'

// JavaScript, as all of `.ci`: it runs before anything is installed that could compile it.
const { failuresOf } = await import(new URL('../.ci/failures.mjs', import.meta.url).href) as { failuresOf: (tap: string) => string[] }

const TAP = `TAP version 14
# Subtest: test/one.test.ts
    # Subtest: outer
        # Subtest: inner
            ok 1 - fine
            not ok 2 - should be equal
              ---
              diff: |
                -2
                +1
              ...
            ok 3 - fine again
            1..3
        not ok 1 - inner # time=2ms
          ---
          at:
            lineNumber: 3
          ...
        not ok 2 - not yet # TODO
        1..2
    not ok 1 - outer # time=3ms
      ---
      at:
        lineNumber: 2
      ...
    1..1
not ok 1 - test/one.test.ts # time=4ms
  ---
  exitCode: 1
  ...
# Subtest: test/two.test.ts
    ok 1 - fine
    1..1
not ok 2 - test/two.test.ts # time=4ms
  ---
  signal: SIGSEGV
  ...
1..2
`

test('of a run of tap, only what failed itself is told, with where it stands', async (t) => {
  t.strictSame(failuresOf(TAP), [
    'test/one.test.ts > outer > inner\nnot ok 2 - should be equal\n  ---\n  diff: |\n    -2\n    +1\n  ...',
    '\nnot ok 2 - test/two.test.ts # time=4ms\n  ---\n  signal: SIGSEGV\n  ...'
  ])
  t.strictSame(failuresOf('TAP version 14\nok 1 - fine\n1..1\n'), [])
  t.strictSame(failuresOf(''), [])
})
