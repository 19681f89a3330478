import type { UIMessageChunk } from 'ai'

/** A stream that is read as fast as its reader wants. @param onOver told once: all was read, or nobody reads it any more */
export function chunkStream (chunks: AsyncIterator<UIMessageChunk, void>, onOver: () => void): ReadableStream<UIMessageChunk> {
  return new ReadableStream<UIMessageChunk>({
    async pull (controller) {
      const { done, value } = await chunks.next()
      if (done !== true) return controller.enqueue(value)
      onOver()
      controller.close()
    },
    cancel () { onOver() }
  }, { highWaterMark: 0 })
}
