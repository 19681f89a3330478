import { RunnableLambda } from '@langchain/core/runnables'
import t from 'tap'

import { fromLangChain } from '../../lib/adapters/langchain.js'
import { adapterContract } from './contract.js'
import { BlocksModel, SourceModel } from './langchain-model.js'

await adapterContract(t, {
  name: 'the stream of a runnable',
  executor: (source, { openFailure, ...options } = {}) => fromLangChain(({ messages, ...config }) => {
    if (openFailure !== undefined) throw openFailure
    return new SourceModel(source).stream(messages, config)
  }, options)
})

await adapterContract(t, {
  name: 'streamEvents of a runnable',
  executor: (source, { openFailure, ...options } = {}) => fromLangChain(({ messages, ...config }) => {
    if (openFailure !== undefined) throw openFailure
    return RunnableLambda.from(async (asked: typeof messages, run) => await new SourceModel(source).invoke(asked, run)).streamEvents(messages, { version: 'v2', ...config })
  }, options)
})

await adapterContract(t, {
  name: 'streamEvents of a chat model',
  // The SDK keeps the whole of such a message, whoever reads it.
  lacks: ['backpressure'],
  executor: (source, { openFailure, ...options } = {}) => fromLangChain(({ messages, ...config }) => {
    if (openFailure !== undefined) throw openFailure
    return new BlocksModel(source).streamEvents(messages, config)
  }, options)
})
