import t, { type Test } from 'tap'

import { readTranscript, type Transcript } from '../helpers/transcript.js'
import { play, type ActLine, type Stage, type StageEnd } from '../helpers/transcript-player.js'
import { schemaFaults } from '../helpers/transcript-schemas.js'
import { serverStage } from '../helpers/transcript-server.js'

const GOOD = [
  '{"chapter":"Once","title":"A tracked chat","about":"…"}',
  '{"from":"client","frame":{"type":"chat","id":"q1","sessionId":"trip","message":"Hello"}}',
  '{"from":"server","frame":{"type":"ack","id":"q1","agentId":"main","sessionId":"trip","status":"started","epoch":"$epoch","seq":0}}',
  '{"from":"server","frame":{"type":"event","agentId":"main","id":"q1","sessionId":"trip","seq":1,"name":"turn-started","data":{"message":"Hello"}}}',
  '{"from":"agent","to":"Hello","returns":"Good morning."}',
  '{"from":"server","frame":{"type":"message","agentId":"main","content":"Good morning.","done":true,"id":"q1","sessionId":"trip","seq":2,"finishReason":"stop"}}'
]

t.test('a transcript that says what happens is played to its end', async (t) => {
  t.equal(await outcome(t, GOOD), 'played')
})

t.test('a transcript that says something else fails at the line where it does', async (t) => {
  const cases: Record<string, [lines: string[], failure: RegExp]> = {
    'a changed byte': [replaced(5, 'Good morning.', 'Good mornings'), /^line 6: expected\n.*Good mornings.*\nand got\n.*Good morning\./],
    'another order of keys': [replaced(3, '"agentId":"main","id":"q1"', '"id":"q1","agentId":"main"'), /^line 4: expected/],
    'a field that is not sent': [replaced(2, '"seq":0', '"seq":0,"content":""'), /^line 3: expected/],
    'a field that nobody expects': [replaced(5, ',"finishReason":"stop"', ''), /^line 6: expected/],
    'another number': [replaced(5, '"seq":2', '"seq":3'), /^line 6: expected/],
    'a frame that nobody expects at the end': [GOOD.slice(0, 5), /^after the last line: nobody expected\n.*"finishReason":"stop"/],
    'a frame that nobody expects in between': [GOOD.filter((_, index) => index !== 3), /^line 5: expected[^]*turn-started/],
    'a placeholder that is something else later': [replaced(5, '"sessionId":"trip"', '"sessionId":"$epoch"'), /^line 6: expected/],
    'two placeholders for one value': [replaced(3, '"id":"q1","sessionId":"trip"', '"id":"$a","sessionId":"$a"'), /^line 4: expected/],
    'two names for one value': [replaced(2, '"id":"q1","agentId":"main","sessionId":"trip"', '"id":"$a","agentId":"main","sessionId":"trip"')
      .map((line, index) => index === 3 ? line.replace('"id":"q1"', '"id":"$b"') : line), /^line 4: \$b is the same as \$a: "q1"/],
    'a placeholder that stands for nothing': [replaced(1, '"sessionId":"trip"', '"sessionId":"$epoch"'), /^line 2: \$epoch stands for nothing yet/],
    'a close that does not come': [[...GOOD.slice(0, 2), '{"from":"server","closes":{"code":1012,"reason":""}}'], /^line 3: expected a close, and got\n.*"ack"/],
    'a close that nobody expects': [[
      '{"chapter":"Once","title":"Bad frames","about":"…","options":{"maxErrorsPerMinute":1}}',
      '{"from":"client","frame":{"type":"shout"},"bad":true}',
      '{"from":"client","frame":{"type":"shout"},"bad":true}',
      '{"from":"server","frame":{"type":"error","code":"UNKNOWN_TYPE","message":"No such frame type","retryable":false,"details":{"path":"/type","rule":"no such type"}}}'
    ], /^after the last line: nobody expected[^]*4400/],
    'an agent that does nothing': [[...GOOD.slice(0, 4), '{"from":"agent","to":"Hello"}'], /^line 5: the agent does nothing/],
    'an upgrade that is not refused': [[GOOD[0] ?? '', '{"from":"network","open":{},"refused":503}'], /^line 2: the upgrade was answered with 101/],
    'a connection that is open': [[...GOOD.slice(0, 4), '{"from":"network","open":{}}'], /^line 5: client is open already/],
    'a cut of what is not there': [[GOOD[0] ?? '', '{"from":"network","at":"phone","cut":true}'], /^line 2: no connection is called phone/]
  }
  for (const [name, [lines, failure]] of Object.entries(cases)) t.test(name, async (t) => { t.match(await outcome(t, lines), failure) })
})

t.test('what is no transcript is not read', async (t) => {
  const cases: Record<string, [lines: string[], fault: RegExp]> = {
    'no JSON': [[...GOOD, 'Hello'], /^line 7 is no JSON: Hello/],
    'JSON that is written in another way': [[...GOOD, '{ "from": "agent", "to": "Hello", "ends": true }'], /^line 7 is not written as JSON.stringify does/],
    'a head without a title': [['{"chapter":"Once","about":"…"}'], /^line 1: \/title/],
    'a line of nobody\'s': [[...GOOD, '{"from":"moon"}'], /^line 7: nobody is called moon/],
    'a field that no line has': [[...GOOD, '{"from":"agent","to":"Hello","sings":true}'], /^line 7: \/sings/],
    'a host that does nothing': [[...GOOD, '{"from":"host"}'], /^line 7: /]
  }
  for (const [name, [lines, fault]] of Object.entries(cases)) t.throws(() => readTranscript(lines.join('\n')), { message: fault }, name)
})

t.test('frames that are not as the schemas say are found', async (t) => {
  const faults = (index: number, from: string, to: string): string[] => schemaFaults(readTranscript(replaced(index, from, to).join('\n')))
  t.strictSame(faults(0, '', ''), [])
  t.match(faults(1, '"message":"Hello"', '"message":""'), [/^line 2: it is not said to be bad, and is/])
  t.match(faults(1, '}}', '},"bad":true}'), [/^line 2: it is said to be bad, and is not/])
  t.match(faults(2, '"status":"started"', '"status":"begun"'), [/^line 3: \/status/])
  t.match(faults(5, '"done":true', '"done":true,"more":1'), [/^line 6: a field that no schema names/])
  t.match(faults(3, '"type":"event"', '"type":"happening"'), [/^line 4: no such type as happening/])
})

t.test('with the roles exchanged the player says what the server says', async (t) => {
  const transcript = readTranscript(GOOD.join('\n'))
  const peer = new FakePeer('server', [JSON.stringify({ type: 'chat', id: 'q1', sessionId: 'trip', message: 'Hello' })])
  await play(transcript, peer)
  t.match(peer.sent.map((frame) => JSON.parse(frame) as unknown), [{ type: 'ack', epoch: 'epoch-1' }, { type: 'event' }, { type: 'message' }])
  t.strictSame(peer.acts, [{ from: 'agent', to: 'Hello', returns: 'Good morning.' }])
  await t.rejects(play(transcript, new FakePeer('server', ['{"type":"ping"}'])), { message: /^line 2: expected[^]*and got\n {2}\{"type":"ping"\}/ })
})

function replaced (index: number, from: string, to: string): string[] {
  return GOOD.map((line, at) => at === index ? line.replace(from, to) : line)
}

async function outcome (t: Test, lines: string[]): Promise<string> {
  const transcript: Transcript = readTranscript(lines.join('\n'))
  const stage = await serverStage(t, transcript)
  return await play(transcript, stage).then(() => 'played', (err: unknown) => err instanceof Error ? err.message : 'no error')
}

/** Says what it was given, one frame after another, and keeps what it is told. */
class FakePeer implements Stage, StageEnd {
  readonly plays
  readonly sent: string[] = []
  readonly acts: ActLine[] = []
  readonly #says: string[]

  constructor (plays: Stage['plays'], says: string[]) {
    this.plays = plays
    this.#says = says
  }

  async end (): Promise<StageEnd> { return this }
  async act (line: ActLine): Promise<void> { this.acts.push(line) }
  async finish (): Promise<void> {}
  send (message: string | Uint8Array): void { this.sent.push(String(message)) }
  async settled (): Promise<void> {}
  async close (): Promise<void> {}
  async closed (): Promise<never> { throw new Error('it does not close') }
  async next (): Promise<string> {
    const frame = this.#says.shift()
    if (frame === undefined) throw new Error('it says nothing more')
    return frame
  }
}
