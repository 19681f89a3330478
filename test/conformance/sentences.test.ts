import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import t, { type Test } from 'tap'

import { journalSuite, sessionStoreSuite, type ConformanceTest } from '../../lib/conformance/index.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import { root } from '../examples/processes.js'
import { inMemory } from './subjects.js'

/** The numbers of a contract's sentences, from the doc comment of its interface. */
function sentencesOf (file: string): number[] {
  return [...readFileSync(join(root, 'lib', file), 'utf8').matchAll(/^ \* (\d+)\. .*$/gm)].map(([, digits]) => Number(digits))
}

function checkSentences (t: Test, file: string, suite: readonly ConformanceTest[]): void {
  const sentences = sentencesOf(file)
  const shown = new Set(suite.flatMap(({ must }) => must))
  t.strictSame(sentences, sentences.map((_, index) => index + 1), 'sentences are numbered in their order')
  t.strictSame(sentences.filter((number) => !shown.has(number)), [], 'no sentence is without a test')
  t.equal(new Set(suite.map(({ name }) => name)).size, suite.length, 'every test has a name of its own')
}

t.test('each sentence of the Journal contract has a test', async (t) => {
  checkSentences(t, 'journal/journal.ts', journalSuite(inMemory(), { isShared: true }))
})

t.test('each sentence of the SessionStore contract has a test', async (t) => {
  checkSentences(t, 'sessions/session-store.ts', sessionStoreSuite(memorySessionStore))
})
