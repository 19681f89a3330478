import { element } from './elements.js'
import { phrase, say } from './words.js'
import type { WireNews } from './wire.js'

/** Older ones go: the page is to stay quick. */
const MAX_ROWS = 500

/** What went over a wire, as it was: the newest at the end. Rows are made only while somebody looks. */
export class FrameList {
  readonly element: HTMLDetailsElement
  readonly #summary = element('summary')
  readonly #rows = element('tbody')
  readonly #scroll: HTMLElement
  #news: WireNews[] = []
  #shown = 0
  #lastAt: number | undefined
  #received = 0
  #sent = 0
  #isAsked = false

  constructor (name: string) {
    const heads = (['time', 'direction', 'frame'] as const).map((word) => say(element('th', { scope: 'col' }), word))
    this.#scroll = element('div', { class: 'frame-scroll', role: 'region', tabindex: '0' },
      element('table', {}, element('thead', {}, element('tr', {}, ...heads)), this.#rows))
    say(this.#scroll, 'framesOf', { name }, 'aria-label')
    const clear = say(element('button', { type: 'button', class: 'quiet' }), 'clear')
    clear.addEventListener('click', () => { this.#clear() })
    this.element = element('details', { class: 'frames' }, this.#summary, clear, this.#scroll)
    this.element.addEventListener('toggle', () => { this.#ask() })
    this.#count()
  }

  take (news: WireNews): void {
    this.#news.push(news)
    if (news.kind === 'received') this.#received++
    if (news.kind === 'sent') this.#sent++
    if (this.#news.length > MAX_ROWS * 2) {
      this.#news.splice(0, this.#news.length - MAX_ROWS)
      this.#shown = Math.max(0, this.#shown - MAX_ROWS)
    }
    this.#ask()
  }

  #clear (): void {
    this.#news = []
    this.#shown = 0
    this.#received = 0
    this.#sent = 0
    this.#rows.replaceChildren()
    this.#count()
  }

  #ask (): void {
    if (this.#isAsked) return
    this.#isAsked = true
    requestAnimationFrame(() => {
      this.#isAsked = false
      this.#count()
      if (this.element.open) this.#show()
    })
  }

  #count (): void {
    say(this.#summary, 'frames', { received: this.#received, sent: this.#sent })
  }

  #show (): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll
    const isNear = scrollHeight - scrollTop - clientHeight < 40
    for (const news of this.#news.slice(this.#shown)) {
      this.#rows.append(rowOf(news, this.#lastAt))
      this.#lastAt = news.at
    }
    this.#shown = this.#news.length
    while (this.#rows.childElementCount > MAX_ROWS) this.#rows.firstElementChild?.remove()
    if (isNear) this.#scroll.scrollTop = this.#scroll.scrollHeight
  }
}

function rowOf (news: WireNews, lastAt: number | undefined): HTMLElement {
  const [arrow, way] = WAYS[news.kind]
  return element('tr', { class: news.kind },
    element('td', { class: 'number' }, lastAt === undefined ? '0' : `+${(news.at - lastAt).toFixed(1)}`),
    element('td', {}, element('span', { 'aria-hidden': 'true' }, arrow), element('span', { class: 'unseen' }, way === undefined ? '' : phrase(way))),
    element('td', {}, element('code', { dir: 'auto' }, textOf(news))))
}

const WAYS = {
  sent: ['↑', 'sentFrame'],
  received: ['↓', 'receivedFrame'],
  opening: ['·', undefined],
  open: ['·', undefined],
  cut: ['✂', undefined],
  closed: ['·', undefined]
} as const

function textOf (news: WireNews): string {
  switch (news.kind) {
    case 'sent':
    case 'received': return news.text
    case 'opening': return phrase('opening')
    case 'open': return phrase('opened')
    case 'cut': return phrase('wasCut')
    case 'closed': return phrase('wasClosed', { code: news.code, reason: news.reason })
  }
}
