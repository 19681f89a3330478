import { CHINESE } from './words-chinese.js'
import { ENGLISH, type Word } from './words-english.js'

const WORDS = { en: ENGLISH, zh: CHINESE }
const TAGS = { en: 'en', zh: 'zh-CN' }

export type Language = keyof typeof WORDS
type Values = Record<string, string | number>
/** Where words go: an element's text, the name that a screen reader gives it, or the hint in an empty field. */
type Spot = 'text' | 'aria-label' | 'placeholder'

let language: Language = 'en'
const said = new WeakMap<Element, Map<Spot, { word: Word, values: Values }>>()

/** In the language of the page. `{name}` in a phrase stands for a value. */
export function phrase (word: Word, values: Values = {}): string {
  return WORDS[language][word].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''))
}

/** Says it there, and again when the language changes. */
export function say<Target extends Element> (target: Target, word: Word, values: Values = {}, spot: Spot = 'text'): Target {
  const spots = said.get(target) ?? new Map<Spot, { word: Word, values: Values }>()
  said.set(target, spots.set(spot, { word, values }))
  target.setAttribute('data-said', '')
  if (spot === 'text') target.textContent = phrase(word, values)
  else target.setAttribute(spot, phrase(word, values))
  return target
}

export function speak (chosen: Language): void {
  language = chosen
  document.documentElement.lang = TAGS[chosen]
  document.title = phrase('title')
  for (const target of document.querySelectorAll('[data-said]')) {
    for (const [spot, { word, values }] of said.get(target) ?? []) say(target, word, values, spot)
  }
}
