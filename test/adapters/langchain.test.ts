import t from 'tap'

import { fromLangChain } from '../../lib/adapters/langchain.js'
import { adapterContract } from './contract.js'
import { SourceModel } from './langchain-model.js'

await adapterContract(t, {
  name: 'the stream of a runnable',
  executor: (source, { openFailure, ...options } = {}) => fromLangChain(({ messages, ...config }) => {
    if (openFailure !== undefined) throw openFailure
    return new SourceModel(source).stream(messages, config)
  }, options)
})

await adapterContract(t, {
  name: 'streamEvents',
  executor: (source, { openFailure, ...options } = {}) => fromLangChain(({ messages, ...config }) => {
    if (openFailure !== undefined) throw openFailure
    return new SourceModel(source).streamEvents(messages, { version: 'v2', ...config })
  }, options)
})
