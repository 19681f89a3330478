import t from 'tap'

import { readSubprotocolOffer } from '../../lib/transports/subprotocol.js'

t.test('an offer without our subprotocol is left to whom it is for', async (t) => {
  const nothing = { offered: false, token: undefined }
  t.strictSame(readSubprotocolOffer(undefined), nothing)
  t.strictSame(readSubprotocolOffer(''), nothing)
  t.strictSame(readSubprotocolOffer('graphql-ws, bearer, secret'), nothing)
  t.strictSame(readSubprotocolOffer('agent-channel.v10, bearer, secret'), nothing)
})

t.test('our subprotocol alone brings no token', async (t) => {
  t.strictSame(readSubprotocolOffer('agent-channel.v1'), { offered: true, token: undefined })
  t.strictSame(readSubprotocolOffer('graphql-ws,agent-channel.v1'), { offered: true, token: undefined })
  t.strictSame(readSubprotocolOffer('agent-channel.v1, bearer'), { offered: true, token: undefined })
})

t.test('the token follows `bearer`, wherever our subprotocol stands', async (t) => {
  t.strictSame(readSubprotocolOffer('agent-channel.v1, bearer, abc.def-1'), { offered: true, token: 'abc.def-1' })
  t.strictSame(readSubprotocolOffer('bearer,abc,agent-channel.v1'), { offered: true, token: 'abc' })
  t.strictSame(readSubprotocolOffer('agent-channel.v1, bearer, bearer'), { offered: true, token: 'bearer' })
})

t.test('a token that is no HTTP token comes as base64url', async (t) => {
  const offer = (token: string): string => `agent-channel.v1, bearer.b64, ${Buffer.from(token, 'latin1').toString('base64url')}`
  t.strictSame(readSubprotocolOffer(offer('a/b+c=')), { offered: true, token: 'a/b+c=' })
  t.strictSame(readSubprotocolOffer(offer('with space')), { offered: true, token: 'with space' })
})

t.test('what no header could have carried is no token', async (t) => {
  for (const token of ['a\r\nx-admin: 1', 'a\0b', 'é', ' padded', 'padded ', '']) {
    const encoded = Buffer.from(token, 'latin1').toString('base64url')
    t.strictSame(readSubprotocolOffer(`agent-channel.v1, bearer.b64, ${encoded}`), { offered: true, token: undefined }, JSON.stringify(token))
  }
})
