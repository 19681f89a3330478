// A part of examples/server.ts: what the offline agent remembers. Its only memory is the history that the channel keeps.
import type { SessionMessage } from '../lib/index.js'
import { isChinese } from './agent-skills.js'

/** An answer about what was said in this session, or nothing when the message asks for none. */
export function recall (message: string, earlier: SessionMessage[]): string | undefined {
  const chinese = isChinese(message)

  const told = nameIn(message)
  if (told !== undefined) {
    return chinese ? `很高兴认识你,${told}!我会记住你的名字。` : `Nice to meet you, ${told}! I will remember your name.`
  }

  if (ASKS_FOR_NAME.some((pattern) => pattern.test(message))) {
    const name = nameAmong(earlier)
    if (name === undefined) return chinese ? '你还没有告诉我你的名字。' : 'You have not told me your name yet.'
    return chinese ? `你叫${name}。` : `Your name is ${name}.`
  }

  if (ASKS_FOR_LAST_WORDS.some((pattern) => pattern.test(message))) {
    const last = earlier.findLast(({ role }) => role === 'user')?.content
    if (last === undefined) return chinese ? '这是你对我说的第一句话。' : 'This is the first thing that you say to me.'
    return chinese ? `你刚才说:“${last}”` : `You said: “${last}”`
  }

  return undefined
}

/** The name that the user told last. */
export function nameAmong (earlier: SessionMessage[]): string | undefined {
  return earlier.filter(({ role }) => role === 'user').map(({ content }) => nameIn(content)).findLast((name) => name !== undefined)
}

function nameIn (message: string): string | undefined {
  const chinese = CHINESE_NAME.exec(message)?.[1]
  if (chinese !== undefined) return chinese
  const [first, ...rest] = (ENGLISH_NAME.exec(message) ?? PRESENTS_SELF.exec(message))?.[1]?.split(' ') ?? []
  if (first === undefined) return undefined
  // `Ada Lovelace and yours?`: more words belong to the name as long as they begin with a capital letter.
  const end = rest.findIndex((word) => !/^\p{Lu}/u.test(word))
  return [first, ...rest.slice(0, end === -1 ? undefined : end)].join(' ')
}

const ENGLISH_NAME = /(?:\bmy name(?:'s|’s| is)|^(?:please )?call me|\bi(?:'m|’m| am) called) (?!not\b|what\b)(?=\p{L})([\p{L}\p{M}'’ -]+)/iu
const PRESENTS_SELF = /\bI(?:'m|’m| am) (\p{Lu}[\p{L}\p{M}'’-]+(?: \p{Lu}[\p{L}\p{M}'’-]+)*)(?=[.,!]|$)/u

// The name ends where a particle, a mark, or a usual way to go on begins; 你 and 什么 make it a question.
const CHINESE_NAME =
  /我(?:的(?:名字|姓名)(?:是|叫)|名叫|叫做|叫) ?(?![什啥谁你他她它不])([\p{L}\p{M}·]{1,20}?)(?=[吧啊呀哦呢]?(?:[^\p{L}\p{M}·]|很高兴|今年|来自|$))/u

const ASKS_FOR_NAME = [
  /\b(?:what(?:'s|’s| is|s)|know|remember|recall|say|tell me) my name\b|\bmy name\b.*\?|\bwho am i\b/iu,
  /我(?:的名字|的姓名)?(?:叫做|叫|是)(?:什么|啥|谁)|我的(?:名字|姓名)呢?[??]|(?:知道|记得|说出).*我的名字/u
]

const ASKS_FOR_LAST_WORDS = [
  /\bwhat did i (?:just )?(?:say|ask|tell)\b/iu,
  /我(?:刚才|刚刚|上次|之前)(?:说|问)了?(?:什么|啥)/u
]
