import { lineNumber, ONLY_CONNECTION, type ClientLine, type ServerLine, type Transcript, type TranscriptLine } from './transcript.js'
import { Placeholders } from './transcript-placeholders.js'

/**
 * Where a transcript is played: the player says what one side says, and compares what the other does. Against a server
 * it plays the client; a client is played against with the roles exchanged.
 */
export interface Stage {
  /** Whose lines the player says. */
  readonly plays: 'client' | 'server'
  /** One of the connections; opens it if a transcript does not say how. */
  end(at: string): Promise<StageEnd>
  /** Has the other side say that line: a client that is played against says what it is asked to say. */
  prompt?(line: { at?: string, frame: Frame }): Promise<void>
  /** Does what neither side says: the agent, the host, the network, the clock. */
  act(line: ActLine): Promise<void>
  /**
   * Everything is done.
   * @throws Error when something was left over, such as a frame that nobody expected
   */
  finish(): Promise<void>
}

/** The player's end of one connection. */
export interface StageEnd {
  send(message: string | Uint8Array): void
  /** The next frame, byte for byte; rejects when the connection is closed. */
  next(): Promise<string>
  /** Settles when everything that was sent has taken effect. */
  settled(): Promise<void>
  close(code: number, reason: string): Promise<void>
  /** How the other side closed the connection; rejects when a frame comes first. */
  closed(): Promise<{ code: number, reason: string }>
}

type Frame = Record<string, unknown>

export type ActLine = Exclude<TranscriptLine, ClientLine | ServerLine>

/**
 * Plays a transcript, line by line. Frames are compared as they are on the wire, in the order of each connection.
 * @throws Error that names the first line which is not what happened
 */
export async function play ({ lines }: Transcript, stage: Stage): Promise<void> {
  const placeholders = new Placeholders()
  for (const [index, line] of lines.entries()) {
    try {
      if (line.from !== 'client' && line.from !== 'server') await stage.act(line)
      else if (line.from === stage.plays) await say(line, lines[index + 1], stage, placeholders)
      else {
        if ('frame' in line) await stage.prompt?.({ ...line, frame: placeholders.fill(line.frame) as Frame })
        await hear(line, await stage.end(line.at ?? ONLY_CONNECTION), placeholders)
      }
    } catch (err) {
      throw new Error(`line ${lineNumber(index)}: ${err instanceof Error ? err.message : String(err)}`, { cause: err })
    }
  }
  try {
    await stage.finish()
  } catch (err) {
    throw new Error(`after the last line: ${err instanceof Error ? err.message : String(err)}`, { cause: err })
  }
}

async function say (
  line: ClientLine | ServerLine, following: TranscriptLine | undefined, stage: Stage, placeholders: Placeholders
): Promise<void> {
  const end = await stage.end(line.at ?? ONLY_CONNECTION)
  if ('closes' in line) return await end.close(line.closes.code, line.closes.reason)
  // What differs from run to run the server makes up, and the client repeats.
  if ('frame' in line) end.send(JSON.stringify(line.from === 'server' ? placeholders.invent(line.frame) : placeholders.fill(line.frame)))
  else end.send('text' in line ? line.text : Buffer.from(line.binary))
  // What comes next by another way could overtake it; on the same connection nothing can.
  if (following === undefined || connectionOf(following) !== connectionOf(line)) await end.settled()
}

function connectionOf (line: TranscriptLine): string | undefined {
  return line.from === 'client' || line.from === 'server' ? line.at ?? ONLY_CONNECTION : undefined
}

async function hear (line: ClientLine | ServerLine, end: StageEnd, placeholders: Placeholders): Promise<void> {
  if ('closes' in line) return compare(JSON.stringify(line.closes), JSON.stringify(await end.closed()))
  if ('text' in line) return compare(line.text, await end.next())
  if ('binary' in line) throw new Error('what is no text cannot be compared')
  const heard = await end.next()
  compare(JSON.stringify(placeholders.match(line.frame, parsed(heard))), heard)
}

function compare (expected: string, actual: string): void {
  if (actual !== expected) throw new Error(`expected\n  ${expected}\nand got\n  ${actual}`)
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
