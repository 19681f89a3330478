// A part of examples/server.ts: what the offline agent says when no fact is asked for. It turns a statement round into a
// question, as ELIZA did in 1966, and says so when it does not know.
import { isChinese } from './agent-skills.js'

export interface Talk {
  name: string | undefined
  /** How often the two have spoken: so that the same words are not said twice in a row. */
  turns: number
}

type Rule = [RegExp, (said: string[], talk: Talk) => string]

export function smallTalk (message: string, talk: Talk): string {
  const text = message.trim()
  for (const [pattern, say] of isChinese(text) ? CHINESE : ENGLISH) {
    const match = pattern.exec(text)
    if (match) return say(match.map((part) => mirrored(part.replace(/[.!?。!?\s]+$/u, ''))), talk)
  }
  return 'I did not catch that. Say it in words?'
}

/** `my` becomes `your`, 我 becomes 你, and the other way round. */
function mirrored (text: string): string {
  return text.replace(/\b(?:I am|I'm|you are|you're|[a-z]+)\b|[我你您]/giu, (word) => MIRROR[word.toLowerCase()] ?? word)
}

const MIRROR: Record<string, string> = {
  'i am': 'you are', "i'm": "you're", i: 'you', me: 'you', my: 'your', mine: 'yours', myself: 'yourself',
  'you are': 'I am', "you're": "I'm", you: 'I', your: 'my', yours: 'mine', yourself: 'myself', 我: '你', 你: '我', 您: '我'
}

function oneOf (answers: string[], { turns }: Talk): string {
  return answers[turns % answers.length] ?? ''
}

// The first pattern that fits speaks.
const ENGLISH: Rule[] = [
  [/\bhow are you\b/iu, () => 'All my processes are running, thank you. And how are you?'],
  [/\b(?:who|what) are you\b|\byour name\b/iu, () => 'I am a small agent that lives in this server and needs no network.'],
  [/^help\b|\bwhat can you do\b/iu, () => 'Ask me about orders, the time or a sum, tell me your name, or just talk.'],
  [/^(?:hi|hello|hey|good (?:morning|afternoon|evening))(?: there)?\P{L}*$/iu, (_, { name }) => `Hello${name ? `, ${name}` : ''}! What can I do for you?`],
  [/\bthank(?:s| you)\b/iu, (_, talk) => oneOf(['You are welcome.', 'My pleasure.'], talk)],
  [/\b(?:good)?bye\b|\bsee you\b/iu, (_, { name }) => `Goodbye${name ? `, ${name}` : ''}!`],
  [/\bi (?:feel|am feeling) (.+)/iu, ([, how]) => `What makes you feel ${how}?`],
  [/\bi (need|want|wish|like|love|hate|miss|think|believe|hope) (.+)/iu, ([, verb, what]) => `What makes you ${verb} ${what}?`],
  [/\bi can(?:'t|’t|not) (.+)/iu, ([, what]) => `What would change if you could ${what}?`],
  [/\bi(?:'m|’m| am) (.+)/iu, ([, how], talk) => oneOf([`How long have you been ${how}?`, `What is it like to be ${how}?`], talk)],
  [/\bbecause\b/iu, () => 'Is that the only reason?'],
  [/^you(?:'re|’re| are) (.+)/iu, ([, how]) => `What makes you think that I am ${how}?`],
  [/\?\s*$|^(?:what|who|where|when|why|how|which|can|could|do|does|is|are|will)\b/iu, (_, talk) => oneOf(DO_NOT_KNOW, talk)],
  [/\bmy (\p{L}+)/iu, ([, what]) => `Tell me more about your ${what}.`],
  [/\p{L}/u, (_, talk) => oneOf(['Tell me more about that.', 'Why does that come to your mind?', 'I see. And then?'], talk)]
]

const CHINESE: Rule[] = [
  [/你好吗|你怎么样|你还好/u, () => '我很好,谢谢!你呢?'],
  [/你是谁|你是什么|你叫什么|你的名字/u, () => '我是住在这台服务器里的小助手,不用联网。'],
  [/你(?:会|能|可以)(?:做|干)?(?:些)?(?:什么|啥)|^帮助/u, () => '我能查订单、报时、算数,能记住你的名字,也能陪你聊聊。'],
  [/^(?:你好|您好|大家好|嗨|哈喽|早上好|早安|下午好|晚上好)\P{L}*$/u, (_, { name }) => `你好${name ? `,${name}` : ''}!有什么可以帮你的吗?`],
  [/谢谢|多谢|感谢/u, (_, talk) => oneOf(['不客气!', '很高兴能帮到你。'], talk)],
  [/再见|拜拜|晚安/u, (_, { name }) => `再见${name ? `,${name}` : ''}!`],
  [/[??]\s*$|[吗呢]$|什么|怎么|谁|哪|多少/u, (_, talk) => oneOf(CHINESE_DO_NOT_KNOW, talk)],
  [/我(觉得|感觉|认为|不想|想|要|需要|不喜欢|喜欢|爱|讨厌|希望)(.+)/u, ([, verb, what]) => `你为什么${verb}${what}?`],
  [/我(?:今天|最近|现在)?((?:很|好|太|非常|有点|真).+)/u, ([, how]) => `是什么让你${how}?`],
  [/因为/u, () => '这是唯一的原因吗?'],
  [/^你((?:很|好|太|真|是|不).+)/u, ([, how]) => `你为什么觉得我${how}?`],
  [/我的(\p{Script=Han}{1,6}?)(?=[很太真是在不有也都没病]|\P{L}|$)/u, ([, what]) => `多说说你的${what}吧。`],
  [/./su, (_, talk) => oneOf(['多说一点吧。', '你怎么会想到这个?', '嗯,然后呢?'], talk)]
]

const DO_NOT_KNOW = ['I do not know. I run without a network, so I only know this server.', 'That is beyond me. I can look up orders, though.']
const CHINESE_DO_NOT_KNOW = ['这个我不知道。我没有联网,只知道这台服务器上的事。', '这个难倒我了,不过我可以帮你查订单。']
