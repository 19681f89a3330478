/** Who wants to be told of what, by its name. */
export class Listeners<Events extends Record<keyof Events, unknown>> {
  readonly #listeners = new Map<keyof Events, Set<(news: never) => void>>()

  /** @returns a function after whose call nothing more is told */
  on<Name extends keyof Events> (name: Name, listener: (news: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners.add(listener))
    return () => { listeners.delete(listener) }
  }

  tell<Name extends keyof Events> (name: Name, news: Events[Name]): void {
    // Only `on` fills the sets, with listeners of that name.
    for (const listener of this.#listeners.get(name) ?? []) call(listener as (news: Events[Name]) => void, news)
  }
}

/** What a listener throws is its own: it must not end what was being done, and must not go unseen. */
function call<News> (listener: (news: News) => void, news: News): void {
  try {
    listener(news)
  } catch (err) {
    queueMicrotask(() => { throw err })
  }
}
