/** What libraries of observables have in common. */
export interface Subscribable<Item> {
  subscribe(observer: {
    next: (item: Item) => void
    error: (err: unknown) => void
    complete: () => void
  }): { unsubscribe(): void }
}

/**
 * The items of a source that pushes, for a reader that pulls. Such a source cannot be told to wait: what is not read yet
 * is kept, up to `maxUnread` items; one more, and the stream fails.
 */
export function pulled<Item> (source: Subscribable<Item>, maxUnread: number): ReadableStream<Item> {
  let subscription: { unsubscribe(): void } | undefined
  let isOver = false
  const end = (how: () => void): void => {
    if (isOver) return
    isOver = true
    how()
    subscription?.unsubscribe()
  }
  return new ReadableStream<Item>({
    start (controller) {
      subscription = source.subscribe({
        next (item) {
          if (isOver) return
          if (Number(controller.desiredSize) > 0) controller.enqueue(item)
          else end(() => { controller.error(new Error(`more than ${maxUnread} events lay unread (maxUnreadEvents)`)) })
        },
        error (err) { end(() => { controller.error(err) }) },
        complete () { end(() => { controller.close() }) }
      })
      // It may have come to its end while it was subscribed to.
      if (isOver) subscription.unsubscribe()
    },
    cancel () { end(() => {}) }
  }, { highWaterMark: maxUnread })
}
