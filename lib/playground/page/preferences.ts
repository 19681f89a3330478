import { labelled } from './composer.js'
import { element } from './elements.js'
import { say, speak, type Language } from './words.js'

const PREFIX = 'fastify-ws-channel-playground:'
const MAX_SESSIONS = 20

/** Colours and language, as they were chosen here before. */
export function preferenceFields (): HTMLElement[] {
  const language = element('select', {}, element('option', { value: 'en', lang: 'en' }, 'English'), element('option', { value: 'zh', lang: 'zh-CN' }, '中文'))
  language.value = read('language') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en')
  const chosen = (): Language => language.value === 'zh' ? 'zh' : 'en'
  language.addEventListener('change', () => {
    write('language', language.value)
    speak(chosen())
  })
  speak(chosen())

  const theme = element('select', {}, ...(['auto', 'light', 'dark'] as const).map((value) => say(element('option', { value }), value)))
  theme.value = read('theme') ?? 'auto'
  const wear = (): void => { document.documentElement.dataset.theme = theme.value }
  theme.addEventListener('change', () => {
    write('theme', theme.value)
    wear()
  })
  wear()
  return [labelled('language', language), labelled('theme', theme)]
}

/** Sessions that were open in this browser, the last one first. */
export function recentSessions (): string[] {
  try {
    const kept: unknown = JSON.parse(read('sessions') ?? '[]')
    return Array.isArray(kept) ? kept.filter((id) => typeof id === 'string') : []
  } catch {
    return []
  }
}

export function rememberSession (sessionId: string): void {
  write('sessions', JSON.stringify([...new Set([sessionId, ...recentSessions()])].slice(0, MAX_SESSIONS)))
}

function read (key: string): string | undefined {
  try {
    return localStorage.getItem(PREFIX + key) ?? undefined
  } catch {
    // A browser may allow none of it.
    return undefined
  }
}

function write (key: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + key, value)
  } catch { /* then it is forgotten */ }
}
