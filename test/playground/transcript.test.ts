import { build } from 'esbuild'
import t from 'tap'

import { launch, visit } from './chromium.js'

// A browser takes its time on a busy machine.
t.setTimeout(240_000)

const browser = await launch(t)

/**
 * A transcript in a page, of a client whose history is a list there: `add` lets turns be said that nobody is told of,
 * `hold` keeps back the answers that are under way until `release`.
 */
async function script (): Promise<string> {
  const { outputFiles: [file] } = await build({
    stdin: {
      contents: `
        import { Transcript } from './lib/playground/page/transcript.ts'
        const messages = []
        const asked = []
        let gate = Promise.resolve()
        const client = {
          async history ({ limit, before }) {
            asked.push(before ?? 'newest')
            const end = before === undefined ? messages.length : Number(before)
            const start = Math.max(0, end - limit)
            const page = { messages: messages.slice(start, end), before: start > 0 ? String(start) : undefined }
            await gate
            return page
          }
        }
        const transcript = new Transcript('A', {
          client, agentId: 'main', announce () {}, onTrouble (err) { throw err }, timing: () => []
        })
        document.body.append(transcript.element)
        Object.assign(window, {
          add (count) {
            for (let left = count; left > 0; left--) {
              const number = messages.length / 2 + 1
              const turn = { turnId: 't' + number, at: number, complete: true }
              messages.push({ role: 'user', content: 'question ' + number, ...turn }, { role: 'assistant', content: 'answer', ...turn })
            }
          },
          hold () { gate = new Promise((resolve) => { window.release = resolve }) },
          refresh: () => transcript.refresh(),
          pages: () => asked.splice(0),
          said: () => [...document.querySelectorAll('.said')].map(({ textContent }) => textContent)
        })`,
      resolveDir: `${import.meta.dirname}/../..`
    },
    bundle: true,
    format: 'iife',
    write: false
  })
  return file?.text ?? ''
}

const questions = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, index) => `question ${from + index}`)

await t.test('what was missed is read', async (t) => {
  const { page, complaints } = await visit(t, browser, 'about:blank')
  await page.addScriptTag({ content: await script() })
  const run = async (code: string): Promise<unknown> => await page.evaluate(`(async () => { ${code} })()`)

  await run('add(30); await refresh()')
  t.strictSame(await run('return said()'), questions(21, 30))
  t.strictSame(await run('return pages()'), ['newest'], 'the rest is older, and read by who wants it')

  // What used to happen: what was missed while a page was being read was never read.
  await run('hold(); window.reading = refresh(); add(1); await refresh()')
  t.strictSame(await run('return said()'), questions(21, 30), 'a page is on its way')
  await run('add(1); await refresh(); release(); await reading')
  t.strictSame(await run('return said()'), questions(21, 32))
  t.strictSame(await run('return pages()'), ['newest', 'newest'], 'once more, however often it was told')

  await run('add(45); await refresh()')
  t.strictSame(await run('return said()'), questions(21, 77), 'a gap is read to where it begins')
  t.strictSame(await run('return pages()'), ['newest', '134', '114', '94', '74'], 'and no further')
  t.strictSame(complaints, [])
})
