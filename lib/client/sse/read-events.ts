export interface EventTools {
  /** The data of one event. */
  onData: (data: string) => void
  /** Something that is none. */
  onComment: () => void
  onBytes: () => void
}

/**
 * Reads an answer of server-sent events, and settles with its end, or when it is aborted.
 * @throws when it breaks off, was aborted before, and whatever `tools` throw
 */
export async function readEvents (
  body: ReadableStream<Uint8Array>, { onData, onComment, onBytes }: EventTools, signal: AbortSignal
): Promise<void> {
  signal.throwIfAborted()
  const reader = body.getReader()
  // A fetch that is aborted while its last bytes are being taken may leave its body open for ever, as Node's does.
  signal.addEventListener('abort', () => { reader.cancel().catch(() => { /* It has broken off. */ }) })
  const decoder = new TextDecoder()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    onBytes()
    // Within lines there is none.
    const text = decoder.decode(value, { stream: true }).replaceAll('\r', '')
    const isOver = (rest.slice(-1) + text).includes('\n\n')
    rest += text
    // One event may come in any number of pieces.
    if (!isOver) continue
    const events = rest.split('\n\n')
    rest = events.pop() ?? ''
    for (const event of events) {
      const data = event.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5))
      if (data.length > 0) onData(data.join('\n'))
      else onComment()
    }
  }
}
