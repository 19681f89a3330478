import type { Settings } from './options.js'

/** Why an upgrade was refused, as far as that can be known. */
export interface UpgradeRefusal {
  status: number
  /** What the server said of when to come back. */
  retryAfterMs: number
}

/**
 * Asks by a plain GET of the same address, which runs the same hooks: a WebSocket does not tell.
 * @returns `undefined` where that cannot be known: no network, no answer, an origin that may not read it
 */
export async function whyRefused (
  { url, fetch, connectTimeoutMs }: Pick<Settings, 'url' | 'fetch' | 'connectTimeoutMs'>, token: string | undefined
): Promise<UpgradeRefusal | undefined> {
  try {
    const response = await fetch?.(url.href.replace('ws', 'http'), {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      credentials: 'include',
      signal: AbortSignal.timeout(connectTimeoutMs)
    })
    return response && { status: response.status, retryAfterMs: retryAfterOf(await response.json().catch(() => null)) }
  } catch {
    return undefined
  }
}

function retryAfterOf (body: unknown): number {
  // Whatever stands in front of the server may have answered, with any JSON, or none.
  const retryAfterMs = (body as { retryAfterMs?: unknown } | null)?.retryAfterMs
  return typeof retryAfterMs === 'number' ? retryAfterMs : 0
}

/** The same request would be answered in the same way. */
export function isFinal (status: number): boolean {
  return status >= 400 && status < 500 && ![401, 408, 425, 426, 429].includes(status)
}
