import type { Random } from './random.js'
import type { OracleLimits } from './oracle.js'

/** What a client sends: bytes, and whether it says that they are text. */
export interface Message {
  data: Buffer
  isBinary: boolean
}

/** How often a message is made that ends its connection, in 10,000. */
export interface MakerOptions {
  closingPerTenThousand: number
}

type Token = string
/** A frame as the texts of its keys and values: so keys can be spelled oddly, be there twice, or be no JSON at all. */
type RawFrame = Array<[key: Token, value: Token]>

/** Makes messages good, bad and ugly; the same ones for the same seed. */
export class FrameMaker {
  readonly #random: Random
  readonly #limits: OracleLimits
  readonly #options: MakerOptions
  #made = 0
  /** Tracked chats that may be sent again. */
  #tracked: RawFrame[] = []

  constructor (random: Random, limits: OracleLimits, options: MakerOptions = { closingPerTenThousand: 10 }) {
    this.#random = random
    this.#limits = limits
    this.#options = options
  }

  make (): Message {
    const random = this.#random
    this.#made++
    if (random.below(10_000) < this.#options.closingPerTenThousand) return this.#closing()
    const way = random.below(100)
    if (way < 15) return asText(textOf(this.#ping()))
    if (way < 40) return asText(textOf(this.#chat()))
    if (way < 50) return asText(textOf(this.#beyondPlain()))
    if (way < 75) return asText(this.#spell(this.#mutated(this.#valid())))
    if (way < 80) return asText(this.#spell(this.#valid()))
    if (way < 88) return asText(this.#scratched(textOf(this.#valid())))
    if (way < 94) return asText(this.#value(3))
    if (way < 97) return { data: random.pick([random.bytes(random.below(64)), asText(textOf(this.#valid())).data]), isBinary: true }
    return asText(this.#noise())
  }

  /** Too big, or no UTF-8: either ends the connection. */
  #closing (): Message {
    const random = this.#random
    const { maxPayload } = this.#limits
    const bytes = asText(textOf(this.#valid())).data
    switch (random.below(5)) {
      case 0: return { data: Buffer.alloc(maxPayload + 1 + random.below(100), 0x20), isBinary: random.perMille(500) }
      case 1: return asText(`{"type":"ping","filler":"${'x'.repeat(maxPayload)}"}`)
      case 2: return { data: random.bytes(16 + random.below(64)), isBinary: false }
      case 3: return { data: Buffer.concat([bytes, Buffer.of(0x80 + random.below(128))]), isBinary: false }
      default: {
        bytes[random.below(bytes.length)] = 0x80 + random.below(128)
        return { data: bytes, isBinary: false }
      }
    }
  }

  #valid (): RawFrame {
    return this.#random.pick([() => this.#ping(), () => this.#chat(), () => this.#chat(), () => this.#beyondPlain()])()
  }

  #ping (): RawFrame {
    return [['"type"', '"ping"'], ...this.#maybe('"id"', () => this.#id())]
  }

  #chat (): RawFrame {
    const random = this.#random
    return [
      ['"type"', '"chat"'],
      ['"message"', this.#message()],
      ...this.#maybe('"agentId"', () => this.#agentId()),
      ...this.#maybe('"sessionId"', () => this.#sessionId()),
      ...this.#maybe('"stream"', () => random.pick(['true', 'false'])),
      ...random.perMille(150) ? this.#maybe('"onBusy"', () => random.pick(['"queue"', '"reject"', '"interrupt"'])) : [],
      ...random.perMille(300) ? this.#maybe('"metadata"', () => this.#metadata()) : []
    ]
  }

  #beyondPlain (): RawFrame {
    const random = this.#random
    const session: RawFrame = [['"sessionId"', this.#sessionId()], ...this.#maybe('"agentId"', () => this.#agentId())]
    const id = this.#maybe('"id"', () => this.#id())
    switch (random.below(9)) {
      case 0: return random.perMille(300) ? this.#cancel(id, random.pick([session, []])) : this.#note(id)
      case 1: return this.#note(id)
      case 2: return [['"type"', '"unsubscribe"'], ...id, ...session]
      case 3: return [
        ['"type"', '"history"'], ...session, ...id, ...this.#maybe('"limit"', () => random.pick(['1', '200', '50.0', '2e1'])),
        ...random.perMille(50) ? [['"before"', '"x.1"'] as RawFrame[number]] : []
      ]
      case 4: return [
        ['"type"', '"subscribe"'], ...session, ...id, ['"epoch"', this.#id()], ...this.#maybe('"after"', () => random.pick(['0', '7', '-0', '1e9']))
      ]
      default: return this.#trackedChat(session)
    }
  }

  /** A chat with an id: a new one, one that was sent before, or another under the same id. */
  #trackedChat (session: RawFrame): RawFrame {
    const random = this.#random
    const again = this.#tracked[random.below(8)]
    if (again !== undefined && random.perMille(200)) {
      return random.perMille(700) ? again : again.map(([key, value]) => key === '"message"' ? [key, this.#message()] : [key, value])
    }
    const named = new Set(session.map(([key]) => key))
    const chat = this.#chat().filter(([key]) => !named.has(key))
    const id = random.perMille(200) ? `"c${random.below(5)}"` : this.#id()
    const frame: RawFrame = [...chat, ...random.perMille(900) ? session : [], ['"id"', id]]
    this.#tracked = [frame, ...this.#tracked.slice(0, 7)]
    return frame
  }

  #cancel (id: RawFrame, session: RawFrame): RawFrame {
    const random = this.#random
    const known = this.#tracked[random.below(8)]?.find(([key]) => key === '"id"')?.[1]
    return [['"type"', '"cancel"'], ...id, ...this.#maybe('"turnId"', () => random.pick([known ?? this.#id(), this.#id()])), ...session]
  }

  #note (id: RawFrame): RawFrame {
    const random = this.#random
    const text = random.pick(['"a"', '"later"', '"throw"', '"refuse"', '"\u{1f642}"', `"${'x'.repeat(99 + random.below(3))}"`])
    return [['"type"', '"note"'], ...id, ['"text"', text], ...this.#maybe('"count"', () => random.pick(['1', '-2', '1e3', '0.5']))]
  }

  #mutated (frame: RawFrame): RawFrame {
    const random = this.#random
    const at = random.below(frame.length)
    const [key, value] = frame[at] ?? ['"type"', '"ping"']
    switch (random.below(11)) {
      case 0: return frame.toSpliced(at, 1)
      case 1: return frame.with(at, [key, this.#value(2)])
      case 2: return [...frame, [key, this.#value(2)]]
      case 3: return frame.with(at, [this.#key(), value])
      case 4: return [...frame, [this.#key(), this.#value(2)]]
      case 5: return frame.toSpliced(at, 0, [this.#unsafeKey(), this.#value(1)])
      case 6: return [...frame, ['"constructor"', random.pick(['{"prototype":{}}', '{"name":"x"}', '["prototype"]', '"prototype"'])]]
      case 7: return [...frame, ['"metadata"', this.#nested(random.pick([30, 31, 32, 33, 34, 5_000]))]]
      case 8: return [...frame, ['"metadata"', this.#sized()]]
      case 9: return frame.with(at, [key, this.#name()])
      default: return frame.with(at, [random.pick(['"id"', '"sessionId"', '"agentId"', '"message"']), this.#name()])
    }
  }

  /** The same frame in another spelling: order, spaces, escapes. */
  #spell (frame: RawFrame): string {
    const random = this.#random
    const order = random.perMille(300) ? frame.toReversed() : frame
    const space = random.pick(['', '', ' ', '\n\t', '\r\n  '])
    const odd = (token: Token): Token => random.perMille(100) ? this.#escaped(token) : token
    return `${space}{${order.map(([key, value]) => `${odd(key)}${space}:${space}${odd(value)}`).join(`,${space}`)}}${space}`
  }

  /** Some characters of a string as `\uXXXX`. */
  #escaped (token: Token): Token {
    if (!/^"[^"\\]*"$/.test(token)) return token
    const inner = token.slice(1, -1).split('')
    return `"${inner.map((unit) => this.#random.perMille(300) ? escapeOf(unit) : unit).join('')}"`
  }

  /** One to three ASCII characters are lost, added or changed. */
  #scratched (text: string): string {
    const random = this.#random
    const units = text.split('')
    for (let times = 1 + random.below(3); times > 0; times--) {
      const at = random.below(units.length)
      const unit = String.fromCharCode(random.below(128))
      units.splice(at, random.below(2), ...random.pick([[], [unit], [units[at] ?? unit, unit]]))
    }
    return units.join('')
  }

  #noise (): string {
    const random = this.#random
    return random.pick([
      '', ' ', '\ufeff{"type":"ping"}', '{"type":"ping"}\0', '{}', '[{"type":"ping"}]', '{"type":"ping"}{"type":"ping"}', '{"type":"ping",}',
      "{'type':'ping'}", '{"type":"constructor"}', '{"type":"__proto__"}', '{"type":"toString"}', '{"type":"PING"}', '{"type":["ping"]}',
      '{"__proto__":{"type":"ping"}}', '{"type":"pong"}', '{"type":"stream","agentId":"main","content":"","done":true}',
      Array.from({ length: random.below(40) }, () => String.fromCharCode(random.below(128))).join(''),
      Array.from({ length: random.below(40) }, () => String.fromCodePoint(random.below(0xd800))).join(''),
      '['.repeat(random.below(3_000)), `{"type":"ping","x":${this.#nested(3_000)}}`
    ])
  }

  #message (): Token {
    const random = this.#random
    const { maxMessageLength } = this.#limits
    if (random.perMille(10)) return JSON.stringify('m'.repeat(maxMessageLength + random.below(3) - 1))
    return random.pick([
      '"hello"', '"two words"', `"${this.#made}"`, '"\u{1f642}\u{1f643} grin"', '"lone \\ud83d and \\ude42 halves"', '"\\u0000\\n"', '"__proto__"',
      '"a"', '"e\u0301\u2028\ufeff"', `"${'\u{10348}'.repeat(1 + random.below(9))}"`
    ])
  }

  #agentId (): Token {
    if (this.#random.perMille(20)) return this.#name()
    return this.#random.pick(['"main"', '"words"', '"slow"', '"failing"', '"main"', '"words"', '"slow"', '"nobody"', '"constructor"', '"__proto__"'])
  }

  #sessionId (): Token {
    const random = this.#random
    if (random.perMille(20)) return this.#name()
    if (random.perMille(60)) return random.pick(['"forbidden"', '"throws"', '"rejects"'])
    // New names come up, so that what one session has gone through does not blur all that follows.
    return `"s${Math.floor(this.#made / 2_000)}-${random.below(4)}${random.perMille(200) ? '-asked' : ''}"`
  }

  #id (): Token {
    return this.#random.perMille(100) ? this.#name() : `"i${this.#made}"`
  }

  /** A name at its bounds, or beyond. */
  #name (): Token {
    return this.#random.pick([
      `"${'n'.repeat(127)}"`, `"${'n'.repeat(128)}"`, `"${'n'.repeat(129)}"`, `"${'\u{1f642}'.repeat(64)}"`, `"${'\u{1f642}'.repeat(65)}"`,
      '""', '" "', '"\u007f"', '"\u0080"', '"\u009f"', '"\u00a0"', '"a\\u0000"', '"a\\n"', '"a\\u001f"', '"\\ud800"', '"\\udc00"', '"\\udc00\\ud800"',
      '"\\ud83d\\ude42"', '"\ufffd\uffff"', '"a/b~c"', '"__proto__"'
    ])
  }

  #key (): Token {
    return this.#random.pick(['"extra"', '"id"', '"type"', '"seq"', '""', '"prototype"', '"constructor"', '"toString"', '"Type"', '"\\u0074ype"', 'bare'])
  }

  #unsafeKey (): Token {
    return this.#random.pick(['"__proto__"', '"__proto__"', this.#escaped('"__proto__"'), '"\\u005f_proto__"', '"__proto"'])
  }

  #metadata (): Token {
    return this.#random.pick(['{}', '{"a":1}', '{"a":{"b":[1,2,{"c":null}]}}', '{"\\ud800":"\\udfff"}', '{"constructor":1}', '{"2":1,"1":2}', '{"n":1e21,"m":-0}'])
  }

  /** Metadata of about as many bytes as there may be. */
  #sized (): Token {
    const { maxMetadataBytes } = this.#limits
    const overhead = '{"a":""}'.length
    const letter = this.#random.pick(['x', '\u00e9', '\u20ac'])
    const count = Math.floor((maxMetadataBytes - overhead) / Buffer.byteLength(letter)) + this.#random.below(3) - 1
    return `{"a":"${letter.repeat(count)}"}`
  }

  #nested (levels: number): Token {
    const inner = this.#random.pick(['1', '{"__proto__":1}', '"x"', '{}'])
    return `{"a":${'['.repeat(levels - 1)}${inner}${']'.repeat(levels - 1)}}`
  }

  #value (levels: number): Token {
    const random = this.#random
    if (levels > 0 && random.perMille(300)) {
      const items = Array.from({ length: random.below(4) }, () => this.#value(levels - 1))
      if (random.perMille(500)) return `[${items.join()}]`
      return `{${items.map((item) => `${random.perMille(30) ? this.#unsafeKey() : this.#key()}:${item}`).join()}}`
    }
    return random.pick([
      'null', 'true', 'false', '0', '-1', '1.5', '1e400', '201', '200', '""', '"x"', '"chat"', '"ping"', '[]', '{}', 'undefined', '"\\ud800"', '"queue"', 'NaN'
    ])
  }

  #maybe (key: Token, value: () => Token): RawFrame {
    return this.#random.perMille(500) ? [[key, value()]] : []
  }
}

function textOf (frame: RawFrame): string {
  return `{${frame.map(([key, value]) => `${key}:${value}`).join()}}`
}

function asText (text: string): Message {
  return { data: Buffer.from(text), isBinary: false }
}

function escapeOf (unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}
