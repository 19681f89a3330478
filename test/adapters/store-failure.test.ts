import t from 'tap'

import { fromAgUi } from '../../lib/adapters/ag-ui.js'
import { fromAiSdk } from '../../lib/adapters/ai-sdk.js'
import { fromLangChain } from '../../lib/adapters/langchain.js'
import { fromOpenAI } from '../../lib/adapters/openai.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import { TurnBench } from '../helpers/turn-bench.js'

t.test('a history that cannot be read is the store\'s fault and not the SDK\'s', async (t) => {
  const never = (): never => { throw new Error('the SDK must not be asked') }
  const executors = {
    fromAgUi: fromAgUi(never), fromAiSdk: fromAiSdk(never), fromLangChain: fromLangChain(never), fromOpenAI: fromOpenAI(never),
    'a host\'s own function': fromOpenAI(async ({ messages }, turn) => [...messages, ...await turn.history()].map(() => 'a'))
  }
  for (const [name, executor] of Object.entries(executors)) {
    const store = memorySessionStore()
    const bench = new TurnBench(executor, { store: { ...store, append: () => {}, messages () { throw new Error('down') } } })
    const reader = await bench.start()
    t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } }, name)
    await bench.finish(t)
  }
})
