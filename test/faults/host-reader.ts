import { FeedView, SessionView } from './feed-view.js'
import { sessionsOf, type Bench } from './bench.js'

/** The host's own code, which follows one session from the start: the same frames, without a socket. */
export class HostReader {
  readonly view: FeedView | undefined
  readonly #done: Promise<void> | undefined
  readonly #abort = new AbortController()

  constructor (bench: Bench) {
    const { scenario, app, truth, report } = bench
    const [key] = sessionsOf('a', scenario)
    if (!scenario.hasHostReader || key === undefined) return
    const view = new FeedView(new SessionView(key), truth, report)
    this.view = view
    const read = async (): Promise<void> => {
      let isFirst = true
      for await (const frame of app.channel.follow(key, { signal: this.#abort.signal })) {
        if (frame.type === 'subscribed') view.onSubscribed(frame, isFirst ? {} : undefined)
        else view.take(frame)
        isFirst = false
      }
    }
    this.#done = read().catch((err: unknown) => {
      // Few sessions fit, in some seeds.
      if (scenario.journal.maxSessions === undefined) report.fault('answers', `the host cannot follow: ${String(err)}`)
    })
  }

  async close (): Promise<void> {
    this.#abort.abort()
    await this.#done
  }
}
