import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'

import t, { type Test } from 'tap'

import { offlineAgent } from '../../examples/agent.js'
import { openaiAgent } from '../../examples/openai-agent.js'
import { orders } from '../../examples/orders.js'
import type { Executor, Part, Turn } from '../../lib/agent/executor.js'
import type { SessionMessage } from '../../lib/protocol/server-frames.js'

await t.test('the offline agent', async (t) => {
  await t.test('greets in the language it is spoken to', async (t) => {
    t.equal(await talk()('hello'), 'Hello! What can I do for you?')
    t.equal(await talk()('你好'), '你好!有什么可以帮你的吗?')
  })

  await t.test('answers in pieces of about a word, in Chinese too', async (t) => {
    t.strictSame(await piecesOf(offline(), turnOf('hello')), ['Hello! ', 'What ', 'can ', 'I ', 'do ', 'for ', 'you?'])
    t.ok((await piecesOf(offline(), turnOf('你好'))).length > 3)
  })

  await t.test('knows the name that it was told earlier in the session', async (t) => {
    for (const [told, asked, answer] of [
      ['my name is Ada', 'what is my name?', 'Your name is Ada.'],
      ["Hi, my name's Ada Lovelace and yours?", 'Who am I', 'Your name is Ada Lovelace.'],
      ['call me ada', 'do you remember my name', 'Your name is ada.'],
      ["I'm Grace.", 'my name?', 'Your name is Grace.'],
      ['我叫小明', '我叫什么名字?', '你叫小明。'],
      ['我的名字是张伟。', '我叫什么?', '你叫张伟。'],
      ['我叫王小明,很高兴认识你', '你知道我的名字吗?', '你叫王小明。'],
      ['我叫 Bob', 'what is my name?', 'Your name is Bob.']
    ] as const) {
      const say = talk()
      t.match(await say(told), /Nice to meet you|很高兴认识你/)
      await say('12 * 12')
      t.equal(await say(asked), answer, told)
    }
  })

  await t.test('takes the newest of two names', async (t) => {
    const say = talk()
    await say('my name is Ada')
    await say('my name is Grace')
    t.equal(await say('what is my name?'), 'Your name is Grace.')
  })

  await t.test('says so when it was told no name', async (t) => {
    t.equal(await talk()('what is my name?'), 'You have not told me your name yet.')
    t.equal(await talk()('我叫什么名字?'), '你还没有告诉我你的名字。')
    t.equal(await talk()('my name is not important'), 'Tell me more about your name.')
  })

  await t.test('repeats what was said last', async (t) => {
    const say = talk()
    t.equal(await say('what did I say?'), 'This is the first thing that you say to me.')
    await say('my cat sleeps')
    t.equal(await say('what did I say?'), 'You said: “my cat sleeps”')
    t.equal(await say('我刚才说了什么?'), '你刚才说:“what did I say?”')
  })

  await t.test('looks up the orders of the REST API', async (t) => {
    const say = talk()
    t.equal(await say('where is order 2?'), 'Order 2 (3 × green tea) is on its way.')
    t.equal(await say('order #9'), 'There is no order 9.')
    t.equal(await say('9号订单'), '没有 9 号订单。')
    t.equal(await say('有哪些订单?'), '现有的订单:1 (1 × teapot), 2 (3 × green tea), 3 (6 × tea cup)。')
    t.equal(await say('2号订单到哪了?'), '2 号订单(3 × green tea)已发货。')
    t.equal(await say('which orders are there'), 'There are these orders: 1 (1 × teapot), 2 (3 × green tea), 3 (6 × tea cup).')
    t.notMatch(await say('I came in order to learn'), /orders/)
  })

  await t.test('tells the time, counts, and does sums', async (t) => {
    const say = talk()
    t.match(await say('what time is it?'), /23 November 2026/)
    t.match(await say('现在几点?'), /2026年11月23日/)
    t.equal(await say('count to 5'), '1 2 3 4 5')
    t.equal(await say('12 * 12'), 'That is 144.')
    t.equal(await say('0.1 + 0.2'), 'That is 0.3.')
    t.equal(await say('7 / 2'), 'That is 3.5.')
    t.equal(await say('7 - 9'), 'That is -2.')
    t.equal(await say('7 / 0'), 'Nothing can be divided by zero.')
    t.equal(await say('7除0'), '除数不能是零。')
    t.equal(await say('数到3'), '1 2 3')
    t.equal(await say('count to 0'), '0')
    t.equal(await say('3加4等于几?'), '等于 7。')
    t.notMatch(await say('it was on 2026-11-23'), /That is/)
  })

  await t.test('turns a statement round', async (t) => {
    for (const [said, answer] of [
      ['I feel that you do not like my cat.', 'What makes you feel that I do not like your cat?'],
      ['I love tea!', 'What makes you love tea?'],
      ["I can't sleep", 'What would change if you could sleep?'],
      ['I am sad', 'How long have you been sad?'],
      ['because it rains', 'Is that the only reason?'],
      ["You're my friend.", 'What makes you think that I am your friend?'],
      ['my mother called', 'Tell me more about your mother.'],
      ['It rained.', 'Tell me more about that.'],
      ['我觉得你不喜欢我', '你为什么觉得我不喜欢你?'],
      ['我想去北京。', '你为什么想去北京?'],
      ['我今天很累', '是什么让你很累?'],
      ['因为下雨', '这是唯一的原因吗?'],
      ['你真笨', '你为什么觉得我真笨?'],
      ['我的猫很可爱', '多说说你的猫吧。'],
      ['下雨了', '多说一点吧。']
    ] as const) t.equal(await talk()(said), answer, said)
  })

  await t.test('keeps to its manners', async (t) => {
    for (const [said, answer] of [
      ['how are you?', 'All my processes are running, thank you. And how are you?'],
      ['who are you?', 'I am a small agent that lives in this server and needs no network.'],
      ['what can you do?', 'Ask me about orders, the time or a sum, tell me your name, or just talk.'],
      ['thanks', 'You are welcome.'],
      ['bye', 'Goodbye!'],
      ['你好吗?', '我很好,谢谢!你呢?'],
      ['你是谁?', '我是住在这台服务器里的小助手,不用联网。'],
      ['你能做什么?', '我能查订单、报时、算数,能记住你的名字,也能陪你聊聊。'],
      ['谢谢', '不客气!'],
      ['再见', '再见!']
    ] as const) t.equal(await talk()(said), answer, said)
  })

  await t.test('calls by name whoever told it', async (t) => {
    const say = talk()
    await say('my name is Ada')
    t.equal(await say('hello'), 'Hello, Ada! What can I do for you?')
    t.equal(await say('bye'), 'Goodbye, Ada!')
    t.equal(await say('你好'), '你好,Ada!有什么可以帮你的吗?')
    t.equal(await say('再见'), '再见,Ada!')
  })

  await t.test('does not say the same twice in a row', async (t) => {
    const say = talk()
    t.not(await say('It rained.'), await say('It rained.'))
  })

  await t.test('admits what it does not know', async (t) => {
    t.match(await talk()('why is the sky blue?'), /I do not know/)
    t.match(await talk()('天空为什么是蓝色的?'), /不知道/)
  })

  await t.test('has an answer to everything', async (t) => {
    const say = talk()
    for (const message of ['🙂', '?', '…', '\n', 'constructor', '__proto__', 'я не знаю', '龘', 'my name my name '.repeat(50_000)]) {
      t.ok((await say(message)).length > 0, message.slice(0, 20))
    }
  })

  await t.test('stops in the middle of an answer when its signal fires', async (t) => {
    const controller = new AbortController()
    const reason = new Error('cancelled')
    const pieces: Part[] = []
    await t.rejects(async () => {
      // Were the signal ignored, the second piece would take a minute and this test would time out.
      for await (const piece of partsOf(await offlineAgent({ orders, pauseMs: 120_000 })(turnOf('hello', [], controller.signal)))) {
        pieces.push(piece)
        controller.abort(reason)
      }
    }, { name: 'AbortError', cause: reason })
    t.strictSame(pieces, ['Hello! '])
  })
})

await t.test('the agent of an OpenAI-compatible server', async (t) => {
  await t.test('sends the history and streams the answer exactly', async (t) => {
    const server = await modelServer(t, (_request, response) => {
      stream(response, [
        delta('你'), delta('好, "'), delta('\n😀'), { choices: [{ index: 0, delta: {}, finish_reason: 'length' }] },
        { choices: [], usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } }
      ])
      response.end('data: [DONE]\n\n')
    })
    const earlier = [said('user', 'hi'), said('assistant', 'hello'), said('user', 'and?')]
    const parts = await piecesOf(openaiAgent({ OPENAI_BASE_URL: server.url, OPENAI_MODEL: 'tiny', OPENAI_API_KEY: 'sk-1' }), turnOf('你好', earlier))

    t.strictSame(parts, [
      '你', '好, "', '\n😀',
      { type: 'finish', finishReason: 'length', usage: { inputTokens: 7, outputTokens: 3, totalTokens: 10 } }
    ])
    t.equal(server.requests[0]?.authorization, 'Bearer sk-1')
    t.match(server.requests[0]?.body, { model: 'tiny', stream: true, stream_options: { include_usage: true } })
    t.strictSame(server.requests[0]?.body.messages, [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'hello' },
      { role: 'user', content: 'and?' },
      { role: 'user', content: '你好' }
    ])
  })

  await t.test('works without a key, and with a server that reports no usage', async (t) => {
    const server = await modelServer(t, (_request, response) => {
      stream(response, [delta('ok'), { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }])
      response.end('data: [DONE]\n\n')
    })
    const parts = await piecesOf(openaiAgent({ OPENAI_BASE_URL: server.url }), turnOf('hi'))
    t.strictSame(parts, ['ok', { type: 'finish', finishReason: 'stop' }])
    t.equal(server.requests[0]?.authorization, 'Bearer none')
  })

  await t.test('closes the request when the signal fires', async (t) => {
    const controller = new AbortController()
    const closed: Promise<unknown>[] = []
    const server = await modelServer(t, (_request, response) => {
      closed.push(once(response, 'close'))
      stream(response, [delta('one ')])
    })
    const pieces: unknown[] = []
    for await (const part of partsOf(await openaiAgent({ OPENAI_BASE_URL: server.url })(turnOf('hi', [], controller.signal)))) {
      pieces.push(part)
      controller.abort(new Error('cancelled'))
    }
    t.equal(pieces[0], 'one ')
    t.equal(closed.length, 1)
    await closed[0]
  })

  await t.test('throws what the server refuses, without the key', async (t) => {
    const server = await modelServer(t, (_request, response) => {
      response.writeHead(401, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ error: { message: 'Incorrect API key provided: sk-secret-1', code: 'invalid_api_key' } }))
    })
    const error = await failureOf(openaiAgent({ OPENAI_BASE_URL: server.url, OPENAI_API_KEY: 'sk-secret-1' }))
    t.equal(error.message, 'the model failed: 401 Incorrect API key provided: [key]')
    t.notMatch(inspect(error, { depth: null, showHidden: true }), /sk-secret-1/)
  })

  await t.test('throws an error that the server reports in the middle of its answer', async (t) => {
    const server = await modelServer(t, (_request, response) => {
      stream(response, [delta('one '), { error: { message: 'out of memory' } }])
      response.end()
    })
    t.match((await failureOf(openaiAgent({ OPENAI_BASE_URL: server.url }))).message, /out of memory/)
  })

  await t.test('throws when the connection breaks in the middle of an answer', async (t) => {
    const server = await modelServer(t, (_request, response) => {
      stream(response, [delta('one ')], () => response.destroy())
    })
    t.match((await failureOf(openaiAgent({ OPENAI_BASE_URL: server.url }))).message, /^the model failed: /)
  })
})

function offline () {
  return offlineAgent({ orders, pauseMs: 0, now: () => new Date('2026-11-23T12:00:00Z') })
}

/** One conversation with the offline agent: what is said is the history of what comes next. */
function talk () {
  const history: SessionMessage[] = []
  return async function say (message: string): Promise<string> {
    const pieces = await piecesOf(offline(), turnOf(message, [...history]))
    const answer = pieces.map((piece) => typeof piece === 'string' ? piece : '').join('')
    history.push(said('user', message), said('assistant', answer))
    return answer
  }
}

function said (role: SessionMessage['role'], content: string): SessionMessage {
  return { role, content, turnId: 'turn', at: 0, complete: true }
}

function turnOf (message: string, earlier: SessionMessage[] = [], signal = new AbortController().signal): Turn {
  return {
    id: 'turn',
    agentId: 'main',
    sessionId: 'session',
    owner: 'anonymous',
    context: undefined,
    message,
    metadata: undefined,
    signal,
    // The agents under test do not log.
    log: undefined as unknown as Turn['log'],
    history: async () => earlier,
    waitFor: async (promise) => promise
  }
}

async function piecesOf (agent: Executor, turn: Turn): Promise<Part[]> {
  const parts: Part[] = []
  for await (const part of partsOf(await agent(turn))) parts.push(part)
  return parts
}

function partsOf (answer: Awaited<ReturnType<Executor>>): AsyncIterable<Part> {
  if (typeof answer === 'string' || !(Symbol.asyncIterator in answer)) throw new Error('these agents answer by an async generator')
  return answer
}

async function failureOf (agent: Executor): Promise<Error> {
  try {
    await piecesOf(agent, turnOf('hi'))
  } catch (error) {
    if (error instanceof Error) return error
  }
  throw new Error('the agent did not fail')
}

interface ModelRequest {
  authorization: string | undefined
  body: { messages: unknown[] }
}

/** A server that speaks as much of OpenAI's protocol as the test says. */
async function modelServer (t: Test, answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const requests: ModelRequest[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).once('end', () => {
      requests.push({ authorization: request.headers.authorization, body: JSON.parse(text) as ModelRequest['body'] })
      // Else the SDK tries again, after a pause.
      response.setHeader('x-should-retry', 'false')
      answer(request, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  // Not a pipe's name: listening on a port makes it an AddressInfo.
  return { requests, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
}

function delta (content: string) {
  return { choices: [{ index: 0, delta: { content }, finish_reason: null }] }
}

function stream (response: ServerResponse, chunks: unknown[], written?: () => void) {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join(''), () => written?.())
}
