import { SUBPROTOCOL } from '../protocol/names.js'

/** What a client says in `Sec-WebSocket-Protocol`. */
export interface SubprotocolOffer {
  /** Our subprotocol is among those offered. */
  readonly offered: boolean
  /** What follows `bearer`, or what follows `bearer.b64`, decoded. Never log it. */
  readonly token: string | undefined
}

/**
 * Reads the header as a browser fills it, which can set no other: `agent-channel.v1, bearer, <token>` or
 * `agent-channel.v1, bearer.b64, <base64url>`. An offer without our subprotocol is somebody else's, token and all.
 */
export function readSubprotocolOffer (header: string | undefined): SubprotocolOffer {
  const names = header === undefined ? [] : header.split(',').map((name) => name.trim())
  if (!names.includes(SUBPROTOCOL)) return { offered: false, token: undefined }
  return { offered: true, token: plainToken(names) ?? encodedToken(names) }
}

function plainToken (names: readonly string[]): string | undefined {
  return presentable(after(names, 'bearer'))
}

function encodedToken (names: readonly string[]): string | undefined {
  const encoded = after(names, 'bearer.b64')
  return encoded === undefined ? undefined : presentable(Buffer.from(encoded, 'base64url').toString('latin1'))
}

function after (names: readonly string[], marker: string): string | undefined {
  const index = names.indexOf(marker)
  return index === -1 ? undefined : names[index + 1]
}

/** Only what a real `Authorization` header could have carried: a decoded line break must not reach a host's parser. */
function presentable (token: string | undefined): string | undefined {
  return token !== undefined && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(token) ? token : undefined
}
