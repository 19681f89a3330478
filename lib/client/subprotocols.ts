import { SUBPROTOCOL } from '../protocol/names.js'

/** What may stand in a header between commas. */
const HTTP_TOKEN = /^[\w!#$%&'*+.^`|~-]+$/

/** The subprotocols to offer: ours, and behind it the token, since a browser can set no header. */
export function subprotocols (token: string | undefined): string[] {
  if (token === undefined) return [SUBPROTOCOL]
  if (HTTP_TOKEN.test(token)) return [SUBPROTOCOL, 'bearer', token]
  return [SUBPROTOCOL, 'bearer.b64', btoa(token).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')]
}

/** The token among them, for who can set a header. */
export function tokenAmong ([, scheme, token = '']: readonly string[]): string | undefined {
  if (scheme === undefined) return undefined
  return scheme === 'bearer' ? token : atob(token.replaceAll('-', '+').replaceAll('_', '/'))
}
