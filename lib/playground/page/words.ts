import { CHINESE } from './words-chinese.js'
import { ENGLISH, type Word } from './words-english.js'

const WORDS = { en: ENGLISH, zh: CHINESE }
const TAGS = { en: 'en', zh: 'zh-CN' }

export type Language = keyof typeof WORDS
type Values = Record<string, string | number>
/** Where words go: an element's text, the name that a screen reader gives it, or the hint in an empty field. */
type Spot = 'text' | 'aria-label' | 'placeholder'

let language: Language = 'en'
const said = new WeakMap<Element, Map<Spot, () => string>>()

/** In the language of the page. `{name}` in a phrase stands for a value. */
export function phrase (word: Word, values: Values = {}): string {
  return WORDS[language][word].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''))
}

/** Says it there, and again when the language changes. */
export function say<Target extends Element> (target: Target, word: Word, values: Values = {}, spot: Spot = 'text'): Target {
  return sayAll(target, () => phrase(word, values), spot)
}

/** The same, of more than one phrase. */
export function sayAll<Target extends Element> (target: Target, text: () => string, spot: Spot = 'text'): Target {
  const spots = said.get(target) ?? new Map<Spot, () => string>()
  said.set(target, spots.set(spot, text))
  target.setAttribute('data-said', '')
  if (spot === 'text') target.textContent = text()
  else target.setAttribute(spot, text())
  return target
}

export function speak (chosen: Language): void {
  language = chosen
  document.documentElement.lang = TAGS[chosen]
  document.title = phrase('title')
  for (const target of document.querySelectorAll('[data-said]')) {
    for (const [spot, text] of said.get(target) ?? []) sayAll(target, text, spot)
  }
}
