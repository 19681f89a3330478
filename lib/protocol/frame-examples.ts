// Written by `npm run docs` from test/transcripts: not to be edited.

/** A frame as it went over the wire. */
export interface FrameExample {
  /** The transcript that it is from. */
  name: string
  /** What the transcript is about. */
  summary: string
  payload: { type: string } & Record<string, unknown>
}

/** By type: in each example other fields are filled in. A function, so that nobody pays for them who does not ask. */
export function frameExamples (): Record<'client' | 'server', Record<string, FrameExample[]>> {
  return {
    client: {
      chat: [
        { name: 'plain-whole', summary: 'A plain chat, answered by a whole message', payload: { type: 'chat', message: 'Where is Lisbon?' } },
        { name: 'plain-not-streamed', summary: 'A plain chat, not streamed', payload: { type: 'chat', message: 'Plan a day', stream: false } },
        { name: 'tracked-metadata', summary: 'A tracked chat with metadata', payload: { type: 'chat', id: 'q1', sessionId: 'trip', message: 'Where is it?', metadata: { place: 'Lisbon', zoom: 3 } } },
        { name: 'tracked-whole', summary: 'A tracked chat, answered by a whole message', payload: { type: 'chat', id: 'q1', sessionId: 'trip', message: 'Where is Lisbon?' } },
        { name: 'plain-refused', summary: 'A plain chat that is refused', payload: { type: 'chat', agentId: 'nobody', message: 'Hello' } }
      ],
      ping: [
        { name: 'ready', summary: 'The subprotocol', payload: { type: 'ping' } },
        { name: 'too-big', summary: 'A message that is too big', payload: { type: 'ping', id: 'p1' } }
      ],
      cancel: [
        { name: 'cancel-plain-queued', summary: 'Cancel a plain chat that waits', payload: { type: 'cancel', id: 'c1', sessionId: 'trip' } },
        { name: 'cancel-queued', summary: 'Cancel a turn that waits', payload: { type: 'cancel', id: 'c1', turnId: 'q2' } },
        { name: 'cancel-plain', summary: 'Cancel plain chats', payload: { type: 'cancel', id: 'c1' } },
        { name: 'cancel-plain', summary: 'Cancel plain chats', payload: { type: 'cancel' } },
        { name: 'cancel-nothing', summary: 'Cancel where nothing runs', payload: { type: 'cancel', id: 'c3', turnId: 'q1', sessionId: 'trip' } }
      ],
      subscribe: [
        { name: 'subscribe-position-ahead', summary: 'Subscribe from a position that was never reached', payload: { type: 'subscribe', sessionId: 'trip' } },
        { name: 'subscribe-position-ahead', summary: 'Subscribe from a position that was never reached', payload: { type: 'subscribe', sessionId: 'trip', epoch: 'epoch-1', after: 0 } },
        { name: 'subscribe-unknown-session', summary: 'Subscribe to a session that nobody knows', payload: { type: 'subscribe', sessionId: 'trip', id: 's1' } },
        { name: 'other-owner', summary: 'A session of somebody else', payload: { type: 'subscribe', id: 's1', sessionId: 'trip', epoch: 'epoch-1', after: 0 } }
      ],
      unsubscribe: [
        { name: 'subscribe-position-ahead', summary: 'Subscribe from a position that was never reached', payload: { type: 'unsubscribe', sessionId: 'trip' } },
        { name: 'in-order', summary: 'Many frames at once', payload: { type: 'unsubscribe', id: 'u1', sessionId: 'trip' } }
      ],
      history: [
        { name: 'forbidden', summary: 'A frame that the host does not allow', payload: { type: 'history', id: 'h1', sessionId: 'trip' } },
        { name: 'disconnect-continue', summary: 'A client that goes away', payload: { type: 'history', sessionId: 'trip' } },
        { name: 'history', summary: 'History', payload: { type: 'history', id: 'h1', sessionId: 'trip', limit: 3 } },
        { name: 'history', summary: 'History', payload: { type: 'history', id: 'h2', sessionId: 'trip', limit: 3, before: 'page-1' } }
      ]
    },
    server: {
      stream: [
        { name: 'plain-streamed', summary: 'A plain chat, streamed', payload: { type: 'stream', agentId: 'main', content: 'In ', done: false } },
        { name: 'tracked-finish', summary: 'How a turn ended, and what it cost', payload: { type: 'stream', agentId: 'main', content: 'Once upon', done: false, id: 'q1', sessionId: 'trip', seq: 2 } },
        { name: 'tracked-finish', summary: 'How a turn ended, and what it cost', payload: { type: 'stream', agentId: 'main', content: '', done: true, id: 'q1', sessionId: 'trip', seq: 3, finishReason: 'length', usage: { inputTokens: 12, outputTokens: 2, totalTokens: 14, reasoningTokens: 0, cachedInputTokens: 8 } } },
        { name: 'tracked-streamed', summary: 'A tracked chat', payload: { type: 'stream', agentId: 'main', content: '', done: true, id: 'q1', sessionId: 'trip', seq: 4, finishReason: 'stop' } }
      ],
      message: [
        { name: 'plain-whole', summary: 'A plain chat, answered by a whole message', payload: { type: 'message', agentId: 'main', content: 'In Portugal.', done: true } },
        { name: 'tracked-metadata', summary: 'A tracked chat with metadata', payload: { type: 'message', agentId: 'main', content: 'In Portugal.', done: true, id: 'q1', sessionId: 'trip', seq: 2, finishReason: 'stop' } },
        { name: 'tracked-not-streamed', summary: 'A tracked chat, not streamed', payload: { type: 'message', agentId: 'main', content: 'Lunch at noon.', done: false, id: 'q1', sessionId: 'trip', seq: 3 } },
        { name: 'duplicate-ended', summary: 'The same chat again, after its end', payload: { type: 'message', agentId: 'main', content: 'In Portugal.', done: true, id: 'q1', sessionId: 'trip', seq: 4, finishReason: 'stop', usage: { inputTokens: 3, outputTokens: 2 } } }
      ],
      error: [
        { name: 'subscribe-without-epoch', summary: 'Subscribe from half a position', payload: { type: 'error', code: 'VALIDATION_FAILED', message: 'A field is wrong', retryable: false, details: { path: '/epoch', rule: '`after` needs the `epoch` that it belongs to' }, id: 's1' } },
        { name: 'bad-frames-close', summary: 'Too many bad frames', payload: { type: 'error', code: 'UNKNOWN_TYPE', message: 'No such frame type', retryable: false, details: { path: '/type', rule: 'no such type' } } },
        { name: 'plain-refused', summary: 'A plain chat that is refused', payload: { type: 'error', agentId: 'nobody', code: 'AGENT_NOT_FOUND', message: 'No such agent', retryable: false, done: true } },
        { name: 'plain-refused', summary: 'A plain chat that is refused', payload: { type: 'error', agentId: 'main', code: 'VALIDATION_FAILED', message: 'A field is wrong', retryable: false, done: true, details: { path: '/message', rule: 'Expected string length greater or equal to 1' } } },
        { name: 'tracked-too-large', summary: 'An answer that is too large', payload: { type: 'error', agentId: 'main', code: 'ANSWER_TOO_LARGE', message: 'The answer is larger than allowed', retryable: false, done: true, id: 'q1', sessionId: 'trip', seq: 3, finishReason: 'error' } }
      ],
      pong: [
        { name: 'ready', summary: 'The subprotocol', payload: { type: 'pong' } },
        { name: 'too-big', summary: 'A message that is too big', payload: { type: 'pong', id: 'p1' } }
      ],
      ack: [
        { name: 'tracked-metadata', summary: 'A tracked chat with metadata', payload: { type: 'ack', id: 'q1', agentId: 'main', sessionId: 'trip', status: 'started', epoch: 'epoch-1', seq: 0 } },
        { name: 'duplicate-ended-whole', summary: 'The same chat again, after a whole message', payload: { type: 'ack', id: 'q1', agentId: 'main', sessionId: 'trip', status: 'duplicate', epoch: 'epoch-1', seq: 2, content: '' } },
        { name: 'cancel-queued', summary: 'Cancel a turn that waits', payload: { type: 'ack', id: 'q2', agentId: 'main', sessionId: 'trip', status: 'queued', position: 1, epoch: 'epoch-1', seq: 1 } }
      ],
      event: [
        { name: 'tracked-metadata', summary: 'A tracked chat with metadata', payload: { type: 'event', agentId: 'main', id: 'q1', sessionId: 'trip', seq: 1, name: 'turn-started', data: { message: 'Where is it?', metadata: { place: 'Lisbon', zoom: 3 } } } },
        { name: 'subscribe-no-turn-yet', summary: 'Subscribe before the first turn', payload: { type: 'event', agentId: 'main', sessionId: 'trip', seq: 1, name: 'weather', data: { sky: 'clear' } } }
      ],
      subscribed: [
        { name: 'subscribe-position-ahead', summary: 'Subscribe from a position that was never reached', payload: { type: 'subscribed', agentId: 'main', sessionId: 'trip', epoch: 'epoch-1', seq: 0, recovered: false, turns: [] } },
        { name: 'subscribe-unknown-session', summary: 'Subscribe to a session that nobody knows', payload: { type: 'subscribed', id: 's1', agentId: 'main', sessionId: 'trip', epoch: 'epoch-1', seq: 0, recovered: false, turns: [] } }
      ],
      unsubscribed: [
        { name: 'subscribe-position-ahead', summary: 'Subscribe from a position that was never reached', payload: { type: 'unsubscribed', agentId: 'main', sessionId: 'trip' } },
        { name: 'in-order', summary: 'Many frames at once', payload: { type: 'unsubscribed', id: 'u1', agentId: 'main', sessionId: 'trip' } }
      ],
      cancelled: [
        { name: 'cancel-plain-queued', summary: 'Cancel a plain chat that waits', payload: { type: 'cancelled', id: 'c1', agentId: 'main', sessionId: 'trip', turns: ['q1', 'turn-1'] } },
        { name: 'cancel-plain', summary: 'Cancel plain chats', payload: { type: 'cancelled', id: 'c1', agentId: 'main', turns: ['turn-1'] } },
        { name: 'cancel-plain', summary: 'Cancel plain chats', payload: { type: 'cancelled', agentId: 'main', turns: ['turn-2'] } },
        { name: 'cancel-ignored', summary: 'Cancel an agent that does not listen', payload: { type: 'cancelled', agentId: 'main', sessionId: 'trip', turns: ['q1'] } }
      ],
      history: [
        { name: 'disconnect-continue', summary: 'A client that goes away', payload: { type: 'history', agentId: 'main', sessionId: 'trip', messages: [{ role: 'user', content: 'Where is Lisbon?', turnId: 'q1', at: 1767225600000, complete: true }, { role: 'assistant', content: 'In Portugal.', turnId: 'q1', at: 1767225620000, complete: true }] } },
        { name: 'history', summary: 'History', payload: { type: 'history', id: 'h0', agentId: 'main', sessionId: 'trip', messages: [] } },
        { name: 'history', summary: 'History', payload: { type: 'history', id: 'h1', agentId: 'main', sessionId: 'trip', messages: [{ role: 'assistant', content: 'In Portugal.', turnId: 'q1', at: 1767225600000, complete: true }, { role: 'user', content: 'And Porto?', turnId: 'q2', at: 1767225601000, complete: true }, { role: 'assistant', content: 'Too.', turnId: 'q2', at: 1767225601000, complete: true }], before: 'page-1' } }
      ],
      ready: [
        { name: 'ready', summary: 'The subprotocol', payload: { type: 'ready', protocol: 'agent-channel.v1', connectionId: 'connection-1', journal: 'journal-1', maxPayload: 1048576, maxFrameBytes: 34012160, heartbeatMs: 25000, types: ['approve'] } }
      ],
      reconnect: [
        { name: 'drain-timeout', summary: 'A server that goes down, and a turn that takes too long', payload: { type: 'reconnect', reason: 'the server is shutting down', afterMs: 1000 } }
      ]
    }
  }
}
