/** What of a browser's page this needs; elsewhere there is nothing of it. */
interface Page {
  addEventListener: EventTarget['addEventListener']
}

/** Whether the page is being left: what is aborted then goes on, for the page that comes next. */
export class PageLeaving {
  #isLeaving = false

  /** @param until no longer looked at */
  constructor (until: AbortSignal) {
    const { addEventListener } = globalThis as Partial<Page>
    // Before everybody else is told, who may abort something then.
    const options = { capture: true, signal: until }
    addEventListener?.('pagehide', () => { this.#isLeaving = true }, options)
    // A browser's cache may bring it back.
    addEventListener?.('pageshow', () => { this.#isLeaving = false }, options)
  }

  get isLeaving (): boolean { return this.#isLeaving }
}
