import t from 'tap'

import { fromOpenAI } from '../../lib/adapters/openai.js'
import { adapterContract } from './contract.js'
import { chatChunks, clientOf, responseEvents } from './openai-server.js'

await adapterContract(t, {
  name: 'chat completions',
  executor: (source, { openFailure, ...options } = {}) => fromOpenAI(({ messages, signal }) => {
    if (openFailure !== undefined) throw openFailure
    return clientOf(chatChunks, source).chat.completions.create({ model: 'm', messages, stream: true }, { signal })
  }, options)
})

await adapterContract(t, {
  name: 'responses',
  // That a host has to run a tool is seen by the call alone.
  lacks: ['tool-calls'],
  executor: (source, { openFailure, ...options } = {}) => fromOpenAI(async ({ messages, signal }) => {
    if (openFailure !== undefined) throw openFailure
    return await clientOf(responseEvents, source).responses.create({ model: 'm', input: messages, stream: true }, { signal })
  }, options)
})
