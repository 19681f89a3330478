import type { ChannelClient, ClientTurn, ServerFrameOf, SessionMessage } from '../../client/index.js'
import { eventOf } from './activity.js'
import { element } from './elements.js'
import { TurnView, type TurnViewTools } from './turn-view.js'
import { say } from './words.js'

export interface TranscriptTools extends Pick<TurnViewTools, 'timing'> {
  client: ChannelClient
  agentId: string
  /** What a screen reader is to say. */
  announce: (text: string) => void
  onTrouble: (err: unknown) => void
}

const PAGE_SIZE = 20
/** Who has scrolled up so far wants to stay there. */
const NEAR_THE_END_PX = 48

/** What was said in a session and what is being said, in its order. */
export class Transcript {
  readonly element: HTMLElement
  readonly #list = element('div', { class: 'turns' })
  readonly #older = element('button', { type: 'button', class: 'quiet older', hidden: '' })
  readonly #empty = element('p', { class: 'note empty' })
  readonly #tools: TranscriptTools
  readonly #viewById = new Map<string, TurnView>()
  #before: string | undefined
  #isReading = false
  /** Something that has not been read. */
  #isMissed = false
  #isAtEnd = true
  #room = ''

  constructor (name: string, tools: TranscriptTools) {
    this.#tools = tools
    say(this.#older, 'older').addEventListener('click', () => { void this.#readOlder() })
    say(this.#empty, 'empty')
    this.element = element('div', { class: 'transcript', role: 'region', tabindex: '0' }, this.#older, this.#empty, this.#list)
    say(this.element, 'conversation', { name }, 'aria-label')
    this.element.addEventListener('scroll', () => { this.#onScroll() })
    // What is opened below takes its room from here.
    new ResizeObserver(() => {
      this.#room = roomOf(this.element)
      this.#keepAtEnd(() => {})
    }).observe(this.element)
  }

  /** A turn of this device's own: whoever has asked wants to see the answer. */
  takeOwn (turn: ClientTurn): void {
    this.#isAtEnd = true
    this.take(turn)
  }

  /** A turn that is new here; nothing of one that is shown already. */
  take (turn: ClientTurn): void {
    const known = this.#viewById.get(turn.id)
    if (known?.isFollowed === true && !known.isFailed) return
    this.#keepAtEnd(() => {
      const view = this.#show(turn, known?.element ?? null)
      known?.element.remove()
      void view.follow(turn)
    })
  }

  takeEvent ({ name, data }: ServerFrameOf<'event'>): void {
    this.#empty.hidden = true
    this.#keepAtEnd(() => {
      this.#list.append(element('div', { class: 'outside' }, say(element('p', { class: 'note' }), 'outside', { name }), eventOf(name, data)))
    })
  }

  /** Something was missed. */
  async refresh (): Promise<void> {
    this.#isMissed = true
    if (this.#isReading) return
    this.#isReading = true
    // What is told meanwhile to be missed may be behind the pages that were read.
    while (this.#isMissed) {
      this.#isMissed = false
      await this.#closeGap()
    }
    this.#isReading = false
  }

  async #closeGap (): Promise<void> {
    // A gap may be longer than a page: it begins behind what has ended here.
    const ended = new Set([...this.#viewById.values()].filter(({ isOpen }) => !isOpen).map(({ id }) => id))
    let isClosed = ended.size === 0
    let next: Element | null | undefined
    const take = (groups: Array<[string, SessionMessage[]]>): void => {
      const known = new Set(groups.map(([id]) => id))
      isClosed ||= groups.some(([id]) => ended.has(id))
      // What runs now comes behind all that the history has.
      const running = [...this.#viewById.values()].find((view) => view.isOpen && !known.has(view.id))
      const behind = next === undefined ? running?.element ?? null : next
      this.#keepAtEnd(() => { next = this.#insert(groups, behind) })
    }
    let before = await this.#read(undefined, take)
    while (!isClosed && before !== undefined) before = await this.#read(before, take)
  }

  async #readOlder (): Promise<void> {
    await this.#read(this.#before, (groups) => {
      const height = this.element.scrollHeight
      this.#insert(groups, this.#list.firstElementChild)
      // What is being read stays where it is.
      this.element.scrollTop += this.element.scrollHeight - height
    })
  }

  /** @returns where the page before begins, if there is one */
  async #read (before: string | undefined, take: (groups: Array<[string, SessionMessage[]]>) => void): Promise<string | undefined> {
    const { client, onTrouble } = this.#tools
    try {
      const page = await client.history({ limit: PAGE_SIZE, before })
      take([...Map.groupBy(page.messages, ({ turnId }) => turnId)])
      if (before === this.#before) this.#before = page.before
      this.#older.hidden = this.#before === undefined
      return page.before
    } catch (err) {
      onTrouble(err)
      return undefined
    }
  }

  /**
   * In front of the given element, the last of them first: each goes in front of the one behind it.
   * @returns the first
   */
  #insert (groups: Array<[string, SessionMessage[]]>, next: Element | null): Element | null {
    for (const [id, messages] of groups.toReversed()) {
      const view = this.#viewById.get(id) ?? this.#show({ id, message: undefined }, next)
      if (!view.isFollowed || view.isFailed) view.takeHistory(messages)
      next = view.element
    }
    return next
  }

  #show ({ id, message }: { id: string, message: string | undefined }, next: Node | null): TurnView {
    const { agentId, announce, timing } = this.#tools
    const view = new TurnView({ id, agentId, message }, {
      timing,
      onGrown: (change) => { this.#keepAtEnd(change) },
      onUnknown: () => { void this.refresh() },
      onAnswered: announce
    })
    this.#viewById.set(id, view)
    this.#empty.hidden = true
    this.#list.insertBefore(view.element, next)
    return view
  }

  /** Makes a change, and scrolls to the end if that was in sight. */
  #keepAtEnd (change: () => void): void {
    change()
    if (this.#isAtEnd) this.element.scrollTop = this.element.scrollHeight
  }

  #onScroll (): void {
    const { scrollTop, scrollHeight, clientHeight } = this.element
    // With less room the end is out of sight, and nobody has scrolled.
    if (roomOf(this.element) === this.#room) this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX
  }
}

function roomOf ({ clientWidth, clientHeight }: HTMLElement): string {
  return `${clientWidth}×${clientHeight}`
}
