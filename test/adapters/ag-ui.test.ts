import t from 'tap'

import { fromAgUi } from '../../lib/adapters/ag-ui.js'
import { adapterContract } from './contract.js'
import { eventsOf, httpAgentOf } from './ag-ui-agent.js'

await adapterContract(t, {
  name: 'an iterable of AG-UI events',
  // The protocol says no more of an end than whether something is still to do.
  lacks: ['length', 'content-filter'],
  executor: (source, { openFailure, ...options } = {}) => fromAgUi(({ signal }) => {
    if (openFailure !== undefined) throw openFailure
    return eventsOf(source, signal)
  }, options)
})

await adapterContract(t, {
  name: 'an HttpAgent of AG-UI',
  lacks: ['length', 'content-filter'],
  executor: (source, { openFailure, ...options } = {}) => fromAgUi(() => {
    if (openFailure !== undefined) throw openFailure
    return httpAgentOf(source)
  }, options)
})
