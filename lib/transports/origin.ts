import { isIP } from 'node:net'
import { isRegExp } from 'node:util/types'

import { isPromiseLike, type Awaitable } from '../awaitable.js'

/**
 * Which pages may open the channel, beside those of the server itself; takes what `@fastify/cors` takes as `origin`.
 * `true` and `'*'` allow every page, `false` allows no other. The origin `null` (a sandboxed frame, a local file) is
 * allowed only where the string `'null'` is listed.
 */
export type OriginOption = OriginValue | OriginFunction

export type OriginValue = boolean | string | RegExp | ReadonlyArray<boolean | string | RegExp>

/** Answers by its callback or by what it returns or resolves to. An error refuses the request as a 500. */
export type OriginFunction = (
  origin: string,
  callback: (error: Error | null, allowed?: OriginValue) => void
) => Awaitable<OriginValue | undefined> | void // eslint-disable-line @typescript-eslint/no-invalid-void-type

export interface OriginRule {
  readonly origin?: OriginOption | undefined
  /** Names under which the server may be reached over plain http, beside `localhost` and IP addresses. */
  readonly allowedHosts?: readonly string[] | undefined
}

/** As the client sees it: behind a trusted proxy, the proxy's. */
export interface ReachedBy {
  readonly protocol: string | undefined
  readonly host: string
}

/**
 * Whether a page may open the channel. A request without `Origin` comes from no browser and is fine.
 * @throws only what the host's own function throws
 */
export function isOriginAllowed (origin: string | undefined, reachedBy: ReachedBy, rule: OriginRule): Awaitable<boolean> {
  if (origin === undefined) return true
  if (isOwnOrigin(origin, reachedBy, rule.allowedHosts ?? [])) return true
  if (typeof rule.origin !== 'function') return matches(origin, rule.origin)
  return ask(rule.origin, origin).then((value) => matches(origin, value))
}

/**
 * A name that its owner points at 127.0.0.1 makes `Origin` and `Host` equal. So sameness counts only where a name cannot
 * lie: under https, where the certificate names it, and for what no foreign name server answers.
 */
function isOwnOrigin (origin: string, reachedBy: ReachedBy, allowedHosts: readonly string[]): boolean {
  const page = parse(origin)
  const own = parse(`${reachedBy.protocol ?? ''}://${reachedBy.host}`)
  if (page === undefined || own === undefined) return false
  if (page.protocol !== own.protocol || page.hostname !== own.hostname) return false
  if (page.port !== own.port && !isLoopback(own.hostname)) return false
  return own.protocol === 'https:' || own.hostname === 'localhost' || isAddress(own.hostname) || isListed(own, allowedHosts)
}

function parse (origin: string): URL | undefined {
  try {
    const url = new URL(origin)
    return url.origin === 'null' ? undefined : url
  } catch {
    return undefined
  }
}

function isListed (own: URL, allowedHosts: readonly string[]): boolean {
  return allowedHosts.some((host) => host.toLowerCase() === own.hostname || host.toLowerCase() === own.host)
}

function isAddress (hostname: string): boolean {
  return isIP(bare(hostname)) !== 0
}

function isLoopback (hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'))
}

function bare (hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

function matches (origin: string, value: OriginValue | undefined): boolean {
  if (value === undefined) return false
  const listed: ReadonlyArray<boolean | string | RegExp> = Array.isArray(value) ? value : [value]
  // No wildcard lets `null` in: any page can put itself into a sandboxed frame.
  if (origin === 'null') return listed.includes('null')
  return listed.some((entry) => matchesOne(origin, entry))
}

/** A host in JavaScript may list anything: `search` would make an expression of it that matches nearly every origin. */
function matchesOne (origin: string, entry: unknown): boolean {
  if (typeof entry === 'string') return entry === '*' || entry === origin
  // `search` starts at the front whatever a global expression remembers of its last match.
  return isRegExp(entry) ? origin.search(entry) !== -1 : entry === true
}

/** What is wrong with the option: nobody would notice a list that matches nothing, or everything. */
export function originFault (option: unknown): string | undefined {
  if (option === undefined || typeof option === 'function') return undefined
  const listed: readonly unknown[] = Array.isArray(option) ? option : [option]
  for (const entry of listed) {
    if (typeof entry === 'boolean' || isRegExp(entry) || entry === '*' || entry === 'null') continue
    if (typeof entry !== 'string') return 'expected a boolean, a string, a RegExp, an array of these, or a function'
    if (!ORIGIN.test(entry)) return `${JSON.stringify(entry)} is no origin as a browser sends it: write \`https://app.example\``
  }
  return undefined
}

/** Scheme, host and perhaps port; nothing behind. */
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]+$/i

function ask (rule: OriginFunction, origin: string): Promise<OriginValue | undefined> {
  return new Promise((resolve, reject) => {
    const answer = rule(origin, (error, value) => {
      if (error === null) resolve(value)
      else reject(error)
    })
    if (answer === undefined) return
    if (isPromiseLike(answer)) answer.then(resolve, reject)
    else resolve(answer)
  })
}
