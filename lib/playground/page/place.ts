/** Where a device is: which channel, agent and session, and whose. */
export interface Place {
  url: URL
  agentId: string
  sessionId: string
  /** Empty for none. It lives in this page only, and goes with it. */
  token: string
}

export interface PageConfig {
  channel: string
  agents: Array<{ id: string, description?: string }>
}

/** What the server has written into the page. */
export function readConfig (): PageConfig {
  // The server's own, and in this form.
  return JSON.parse(document.getElementById('config')?.textContent ?? '') as PageConfig
}

/** The place that the page's address names; a session that nobody can guess where it names none. */
export function placeOfAddress ({ channel, agents }: PageConfig): Place {
  const here = new URL(location.href)
  const { searchParams } = here
  here.pathname = here.pathname.replace(/\/+$/, '')
  return {
    url: new URL(channel, new URL(here.pathname, here.origin)),
    agentId: searchParams.get('agentId') || agents[0]?.id || 'main',
    sessionId: searchParams.get('sessionId') || freshSessionId(),
    token: ''
  }
}

/** So that the page comes back to it, and a real second device can be sent there. */
export function keepInAddress ({ agentId, sessionId }: Place): void {
  const here = new URL(location.href)
  here.searchParams.set('agentId', agentId)
  here.searchParams.set('sessionId', sessionId)
  history.replaceState(null, '', here)
}

export function freshSessionId (): string {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
