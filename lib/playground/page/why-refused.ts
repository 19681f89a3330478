import type { Place } from './place.js'

/** What the server says, in its own words, to a plain request of the channel's address: its hooks are the same. */
export async function whyRefused ({ url, token }: Place): Promise<{ status: number, text: string } | undefined> {
  try {
    const response = await fetch(url, { headers: token === '' ? {} : { authorization: `Bearer ${token}` } })
    return { status: response.status, text: messageOf(await response.text()) }
  } catch {
    return undefined
  }
}

function messageOf (body: string): string {
  try {
    const { message } = Object(JSON.parse(body)) as { message?: unknown }
    return typeof message === 'string' ? message : body
  } catch {
    return body
  }
}
