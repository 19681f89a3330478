/** What may stand in a `Host` header and, unquoted, in a policy: a name or an address, and a port. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?$/i

/**
 * The page's Content-Security-Policy: its own script and style, by their nonce, its own server, and nothing else. Text
 * becomes HTML only by way of the sanitiser's trusted type.
 * @param host as the page was asked for
 */
export function policyOf (nonce: string, host: string): string {
  // Not every browser takes 'self' for WebSockets. Behind a proxy only the page knows which of the two it uses.
  const sockets = HOST.test(host) ? ` ws://${host} wss://${host}` : ''
  return [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    `connect-src 'self'${sockets}`,
    // The empty icon, so that browsers do not ask for one.
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types dompurify'
  ].join('; ')
}
