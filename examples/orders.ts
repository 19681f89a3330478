// A part of examples/server.ts: the REST API that was there before the channel, and the data that the agent may look at.
import createError from '@fastify/error'
import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'

const Order = Type.Object({
  id: Type.Integer({ minimum: 1 }),
  item: Type.String(),
  quantity: Type.Integer({ minimum: 1 }),
  status: Type.Union([Type.Literal('packing'), Type.Literal('shipped'), Type.Literal('delivered')])
})
export type Order = Static<typeof Order>

const Problem = Type.Object({
  statusCode: Type.Integer(),
  code: Type.Optional(Type.String()),
  error: Type.String(),
  message: Type.String()
})

export const OrderParams = Type.Object({ orderId: Type.Integer({ minimum: 1 }) })
const OrderQuery = Type.Object({ status: Type.Optional(Order.properties.status) })

const OrderNotFound = createError<[number]>('ORDER_NOT_FOUND', 'There is no order %d', 404)

export const orders: readonly Order[] = [
  { id: 1, item: 'teapot', quantity: 1, status: 'delivered' },
  { id: 2, item: 'green tea', quantity: 3, status: 'shipped' },
  { id: 3, item: 'tea cup', quantity: 6, status: 'packing' }
]

export async function orderRoutes (api: FastifyInstance) {
  api.get<{ Querystring: Static<typeof OrderQuery> }>('/orders', {
    schema: {
      operationId: 'listOrders',
      tags: ['orders'],
      summary: 'All orders, or those of one status',
      querystring: OrderQuery,
      response: { 200: Type.Array(Order), '4xx': Problem }
    }
  }, async ({ query }) => orders.filter((order) => query.status === undefined || order.status === query.status))

  api.get<{ Params: Static<typeof OrderParams> }>('/orders/:orderId', {
    schema: {
      operationId: 'getOrder',
      tags: ['orders'],
      summary: 'One order',
      params: OrderParams,
      response: { 200: Order, '4xx': Problem }
    }
  }, async ({ params }) => {
    const order = orders.find((candidate) => candidate.id === params.orderId)
    if (order === undefined) throw new OrderNotFound(params.orderId)
    return order
  })
}
