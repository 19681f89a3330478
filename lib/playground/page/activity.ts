import type { ServerFrameOf } from '../../client/index.js'
import { element } from './elements.js'
import { say } from './words.js'

const REASONING = 'reasoning'
/** Of more events only the number is shown: a page that holds them all gets slow. */
const MAX_EVENTS = 200
const MAX_BRIEF = 120

/** What an agent does beside its text: reasoning as one text, each other event with its data. */
export class Activity {
  readonly element = element('div', { class: 'activity', role: 'group', hidden: '' })
  #reasoning: { id: unknown, text: Text } | undefined
  #count = 0
  #more: HTMLElement | undefined

  constructor () {
    say(this.element, 'activity', {}, 'aria-label')
  }

  take ({ name, data }: ServerFrameOf<'event'>): void {
    this.element.hidden = false
    const text = name === REASONING ? textOf(data) : undefined
    const id = fieldOf(data, 'id')
    if (text !== undefined && this.#reasoning !== undefined && this.#reasoning.id === id) return this.#reasoning.text.appendData(text)
    if (++this.#count > MAX_EVENTS) return this.#countMore()
    this.#reasoning = undefined
    if (text === undefined) return this.element.append(eventOf(name, data))
    this.#reasoning = { id, text: document.createTextNode(text) }
    this.element.append(element('details', { class: 'event reasoning', open: '' },
      say(element('summary'), 'reasoning'), element('p', { class: 'thought', dir: 'auto' }, this.#reasoning.text)))
  }

  #countMore (): void {
    this.#more ??= this.element.appendChild(element('p', { class: 'note' }))
    say(this.#more, 'moreEvents', { count: this.#count - MAX_EVENTS })
  }
}

/** An event by its name, the gist of its data, and all of it on demand. */
export function eventOf (name: string, data: unknown): HTMLElement {
  const json = JSON.stringify(data, null, 2) as string | undefined
  return element('details', { class: 'event' },
    element('summary', {}, element('span', { class: 'event-name' }, name), ' ', element('span', { class: 'brief', dir: 'auto' }, briefOf(data))),
    element('pre', { tabindex: '0' }, json ?? ''))
}

function briefOf (data: unknown): string {
  const tool = fieldOf(data, 'toolName') ?? fieldOf(data, 'tool')
  const rest = ['input', 'output', 'found', 'text'].map((key) => fieldOf(data, key)).find((value) => value !== undefined) ?? data
  const text = typeof rest === 'string' ? rest : JSON.stringify(rest) as string | undefined
  const brief = [tool, text].filter((part) => typeof part === 'string').join(': ')
  return brief.length > MAX_BRIEF ? `${brief.slice(0, MAX_BRIEF).toWellFormed()}…` : brief
}

function textOf (data: unknown): string | undefined {
  const text = typeof data === 'string' ? data : fieldOf(data, 'text')
  return typeof text === 'string' ? text : undefined
}

function fieldOf (data: unknown, key: string): unknown {
  return typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined
}
