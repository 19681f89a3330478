import { jsonSchema, stepCountIs, streamText, type ToolSet } from 'ai'
import t from 'tap'

import { fromAiSdk } from '../../lib/adapters/ai-sdk.js'
import { failingModel, modelOf } from './ai-sdk-model.js'
import { adapterContract } from './contract.js'

/** For the host to run: the SDK stops when it is called. */
const tools: ToolSet = { look: { inputSchema: jsonSchema({ type: 'object' }) } }

await adapterContract(t, {
  name: 'fromAiSdk',
  executor: (source, { openFailure, ...options } = {}) => fromAiSdk((call) => {
    if (openFailure !== undefined) throw openFailure
    return streamText({ model: modelOf(source), tools, stopWhen: stepCountIs(3), ...call })
  }, options)
})

await adapterContract(t, {
  name: 'a result of streamText as it is',
  // The SDK reads its model to the end, whoever reads the result.
  lacks: ['onEvent', 'backpressure'],
  executor: (source, { openFailure } = {}) => ({ message, signal }) => {
    const model = openFailure === undefined ? modelOf(source) : failingModel(openFailure)
    return streamText({ model, tools, prompt: message, abortSignal: signal, onError () {} })
  }
})
