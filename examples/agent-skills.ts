// A part of examples/server.ts: what the offline agent can find out, namely orders, the time, sums, and counting.
import type { Order } from './orders.js'

export interface World {
  orders: readonly Order[]
  now: Date
}

/** An answer made of facts, or nothing when the message asks for none. */
export function lookUp (message: string, { orders, now }: World): string | undefined {
  const chinese = isChinese(message)

  const count = /\bcount (?:up )?to (\d{1,3})\b|数到\s*(\d{1,3})/iu.exec(message)
  if (count) return countTo(Number(count[1] ?? count[2]))

  if (/(?<!\bin )\borders?\b|订单/iu.test(message)) return aboutOrders(message, orders, chinese)

  if (/\bwhat(?:'s|’s| is|s)? (?:the |today's )?(?:time|date|day)\b|几点|(?:什么|现在)时间|几号|星期几/iu.test(message)) {
    const time = new Intl.DateTimeFormat(chinese ? 'zh-CN' : 'en-GB', { dateStyle: 'full', timeStyle: 'short' }).format(now)
    return chinese ? `我这里现在是${time}。` : `Where I run, it is ${time}.`
  }

  const sum = SUM.exec(message)
  return sum ? calculate(Number(sum[1]), sum[2] ?? '', Number(sum[3]), chinese) : undefined
}

export function isChinese (message: string): boolean {
  return /\p{Script=Han}/u.test(message)
}

function countTo (end: number): string {
  return Array.from({ length: end }, (_, index) => index + 1).join(' ') || '0'
}

function aboutOrders (message: string, orders: readonly Order[], chinese: boolean): string {
  const id = /\d+/.exec(message)?.[0]
  if (id === undefined) {
    const list = orders.map((order) => `${order.id} (${order.quantity} × ${order.item})`).join(', ')
    return chinese ? `现有的订单:${list}。` : `There are these orders: ${list}.`
  }
  const order = orders.find((candidate) => candidate.id === Number(id))
  if (order === undefined) return chinese ? `没有 ${id} 号订单。` : `There is no order ${id}.`
  const [english, inChinese] = STATUS[order.status]
  return chinese
    ? `${id} 号订单(${order.quantity} × ${order.item})${inChinese}。`
    : `Order ${id} (${order.quantity} × ${order.item}) ${english}.`
}

function calculate (a: number, operator: string, b: number, chinese: boolean): string {
  if (/[/÷除]/.test(operator) && b === 0) return chinese ? '除数不能是零。' : 'Nothing can be divided by zero.'
  const result = /[+加]/.test(operator) ? a + b : /[-减]/.test(operator) ? a - b : /[*×乘]/.test(operator) ? a * b : a / b
  // In binary fractions 0.1 + 0.2 is 0.30000000000000004.
  const shown = Number(result.toPrecision(12))
  return chinese ? `等于 ${shown}。` : `That is ${shown}.`
}

// Two numbers and nothing beside them: `2026-11-23` and `1.2.3` are no sums.
const SUM = /(?<![\d./-])(-?\d+(?:\.\d+)?)\s*([-+*/×÷加减乘除])\s*(-?\d+(?:\.\d+)?)(?!\d|\.\d|\s*[-+*/×÷加减乘除])/u

const STATUS = {
  packing: ['is being packed', '正在打包'],
  shipped: ['is on its way', '已发货'],
  delivered: ['has been delivered', '已送达']
} as const
