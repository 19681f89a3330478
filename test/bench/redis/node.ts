// One node, in a process of its own. Started by `startNode`.
import type { AddressInfo } from 'node:net'
import process from 'node:process'

import { NODE_KINDS, type NodeConfig } from './node-kinds.js'
import type { Order } from './nodes.js'

const config = JSON.parse(process.argv[2] ?? '{}') as NodeConfig
const node = await NODE_KINDS[config.kind](config)
process.on('message', ({ order, name, text }: Order) => { void node[order](name, text).then(() => process.send?.({ name })) })
process.on('disconnect', () => { process.exit() })
process.send?.({ port: (node.server.address() as AddressInfo).port })
