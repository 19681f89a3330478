import type { ChatTransport, UIMessage, UIMessageChunk } from 'ai'

import { ChannelClientError, createChannelClient, type ClientTurn, type HistoryRequest, type SessionChoice } from '../client/index.js'
import { ERROR_CODES } from '../protocol/codes.js'
import { chunkStream } from './chunk-stream.js'
import { findOpenTurn, type FoundTurn } from './find-open-turn.js'
import type { ApprovalAnswer, ChannelChatTransportOptions, ChatClient, OpenApproval } from './options.js'
import { PageLeaving } from './page-leaving.js'
import { TurnChunks } from './turn-chunks.js'
import { TurnPlaces } from './turn-places.js'
import { chatOf, toUIMessages, type ChannelMessageMetadata } from './ui-messages.js'

/**
 * `useChat` of the AI SDK over a channel: a chat is a session, an answer a turn of it. Make one for a page, outside of its
 * components: all chats share its connection.
 * @throws TypeError as `createChannelClient` does, when it is first used
 */
export function channelChatTransport<UI_MESSAGE extends UIMessage = UIMessage> (
  options: ChannelChatTransportOptions<UI_MESSAGE>
): ChannelChatTransport<UI_MESSAGE> {
  return new ChannelChatTransport(options)
}

export class ChannelChatTransport<UI_MESSAGE extends UIMessage = UIMessage> implements ChatTransport<UI_MESSAGE> {
  /** What is resumed is told from its beginning. */
  readonly resumeStreamIsReplay = true
  readonly #options: ChannelChatTransportOptions<UI_MESSAGE>
  readonly #places: TurnPlaces
  readonly #ownTurns = new WeakSet<ClientTurn>()
  readonly #searchByChat = new Map<string, Search>()
  /** The signs of those who resumed a chat last: an abort of one before is no stop. */
  readonly #resumeByChat = new Map<string, object>()
  #opened: { client: ChatClient, leaving: PageLeaving, closing: AbortController } | undefined
  #streams = 0
  #isToClose = false

  constructor (options: ChannelChatTransportOptions<UI_MESSAGE>) {
    this.#options = options
    this.#places = new TurnPlaces(options.storage)
  }

  /**
   * Says what the user has said, as the session's next turn. `headers` are nothing for a socket, and are left out.
   * @throws Error for what `prepareChat` does not take; of what goes wrong later the stream tells
   */
  readonly sendMessages: ChatTransport<UI_MESSAGE>['sendMessages'] = async (asked) => {
    const { chatId, abortSignal } = asked
    const { prepareChat = chatOf } = this.#options
    const chat = await prepareChat(asked)
    abortSignal?.throwIfAborted()
    this.#searchByChat.get(chatId)?.abort()
    const session = this.#session(chatId)
    const turn = this.#open().client.chat({ ...session, ...chat })
    this.#ownTurns.add(turn)
    void this.#keepPlace(keyOf(session), turn)
    const reading = { chatId, session, signal: abortSignal, isSuperseded: () => false, approvals: [] }
    return this.#stream(reading, { turn, isWhole: true, letGo () {} })
  }

  /** The answer that is being written, from its beginning; `null` where there is none. */
  readonly reconnectToStream: ChatTransport<UI_MESSAGE>['reconnectToStream'] = async ({ chatId, abortSignal }) => {
    const sign = {}
    this.#resumeByChat.set(chatId, sign)
    const isSuperseded = (): boolean => (this.#resumeByChat.get(chatId) ?? sign) !== sign
    const session = this.#session(chatId)
    const search = this.#search(chatId, session)
    const forget = whenAborted(abortSignal, () => { if (!isSuperseded()) search.abort() })
    const found = await search.found.finally(forget)
    if (found === undefined || isSuperseded()) return null
    const letGo = (): void => {
      found.letGo()
      if (!isSuperseded()) this.#resumeByChat.delete(chatId)
    }
    try {
      const approvals = found.isWhole ? [] : await this.#openApprovals(session)
      return this.#stream({ chatId, session, signal: abortSignal, isSuperseded, approvals }, { ...found, letGo })
    } catch (err) {
      letGo()
      throw err
    }
  }

  /**
   * Answers a tool that asks for approval, by the host's frame. Tell the chat too, by `addToolApprovalResponse`.
   * @throws ChannelClientError when it is refused, since somebody else has answered, or its outcome is not known
   */
  async approve (answer: ApprovalAnswer): Promise<void> {
    const { approvalFrame = frameOf } = this.#options
    const { type, ...frame } = approvalFrame(answer)
    await this.#open().client.send(type, frame)
  }

  /**
   * Stops what runs and waits in a chat's session, whoever reads it, also where `stop()` of an older `ai` cannot.
   * @returns the ids of the turns
   * @throws ChannelClientError when that does not get to the server
   */
  async stop (chatId: string): Promise<string[]> {
    return await this.#open().client.cancel(this.#session(chatId))
  }

  /** A page of what was said in a chat, for the `messages` that it begins with: oldest first, with the cursor of the one before. */
  async messages (
    chatId: string, page: Pick<HistoryRequest, 'before' | 'limit' | 'signal'> = {}
  ): Promise<{ messages: Array<UIMessage<ChannelMessageMetadata>>, before?: string | undefined }> {
    const { messages, before } = await this.#open().client.history({ ...this.#session(chatId), ...page })
    return { messages: toUIMessages(messages), before }
  }

  /** Closes the connection that this transport has made, when no answer is read any more. It may be used again all the same. */
  close (): void {
    this.#isToClose = true
    this.#closeUnread()
  }

  #open () {
    this.#isToClose = false
    if (this.#opened === undefined) {
      const closing = new AbortController()
      const client = 'client' in this.#options ? this.#options.client : createChannelClient(this.#options)
      this.#opened = { client, leaving: new PageLeaving(closing.signal), closing }
    }
    return this.#opened
  }

  #closeUnread (): void {
    if (!this.#isToClose || this.#streams > 0) return
    this.#opened?.closing.abort()
    if (!('client' in this.#options)) this.#opened?.client.close()
    this.#opened = undefined
  }

  #session (chatId: string): SessionChoice {
    const { session = (sessionId: string) => ({ sessionId }) } = this.#options
    return session(chatId)
  }

  async #openApprovals (session: SessionChoice): Promise<readonly OpenApproval[]> {
    return await this.#options.openApprovals?.(session, this.#open().client) ?? []
  }

  /** Who resumes a chat while that is being done already joins in: to the server it would be a loss. */
  #search (chatId: string, session: SessionChoice): Search {
    const running = this.#searchByChat.get(chatId)
    if (running !== undefined) return running
    const aborting = new AbortController()
    const found = findOpenTurn(this.#open().client, session, {
      place: this.#places.get(keyOf(session)), isOwn: (turn) => this.#ownTurns.has(turn), signal: aborting.signal
    })
    const search = { found: found.finally(() => { this.#searchByChat.delete(chatId) }), abort: () => { aborting.abort() } }
    this.#searchByChat.set(chatId, search)
    return search
  }

  #stream (reading: Reading, found: FoundTurn): ReadableStream<UIMessageChunk> {
    const { turn } = found
    this.#streams++
    this.#stopWhenAborted(reading, turn)
    void this.#forgetPlace(keyOf(reading.session), turn)
    return chunkStream(this.#chunks(reading, turn), () => {
      this.#streams--
      found.letGo()
      this.#closeUnread()
    })
  }

  async * #chunks ({ approvals }: Reading, turn: ClientTurn): AsyncGenerator<UIMessageChunk, void> {
    const { errorText = ({ message }) => message } = this.#options
    const chunks = new TurnChunks(turn.id, this.#options)
    // What waits for an answer was asked after what was said before it.
    let before = turn.text.length
    let unasked = approvals
    yield * chunks.start()
    try {
      for await (const event of turn.events) {
        yield * chunks.take(event)
        if (event.type === 'text') before -= event.content.length
        if (before > 0) continue
        for (const approval of unasked) yield * chunks.ask(approval)
        unasked = []
      }
      yield * chunks.end(await turn.finished)
    } catch (err) {
      // No signal is given to the turn, whose reason this could be.
      yield * chunks.fail(errorText(err as ChannelClientError))
    }
  }

  #stopWhenAborted ({ chatId, signal, isSuperseded }: Reading, turn: ClientTurn): void {
    const { leaving } = this.#open()
    const { isStop = () => !leaving.isLeaving, onStopFailed = () => {} } = this.#options
    const forget = whenAborted(signal, () => {
      if (!isSuperseded() && isStop({ chatId, turnId: turn.id })) turn.cancel().catch(onStopFailed)
    })
    turn.finished.then(forget, forget)
  }

  /** Where the turn begins, unless it began before this client has sent it. Of several that wait the last is kept. */
  async #keepPlace (key: string, turn: ClientTurn): Promise<void> {
    try {
      for await (const event of turn.events) {
        if (event.type === 'ack' && event.status !== 'duplicate') this.#places.set(key, { turnId: turn.id, epoch: event.epoch, seq: event.seq })
        return
      }
    } catch {
      // It was refused: there is nothing to come back to.
    }
  }

  /** A turn that has ended is in the history. One that this client has only lost sight of may go on. */
  async #forgetPlace (key: string, turn: ClientTurn): Promise<void> {
    try {
      await turn.finished
    } catch (err) {
      if (!(err instanceof ChannelClientError && err.code in ERROR_CODES)) return
    }
    this.#places.delete(key, turn.id)
  }
}

interface Search {
  found: Promise<FoundTurn | undefined>
  abort: () => void
}

interface Reading {
  chatId: string
  session: SessionChoice
  signal: AbortSignal | undefined
  /** The same chat was resumed anew since. */
  isSuperseded: () => boolean
  /** What the turn is waiting for, as far as no event tells it. */
  approvals: readonly OpenApproval[]
}

function frameOf ({ id, approved, reason }: ApprovalAnswer): { type: string } {
  return { ...{ type: 'approve', approvalId: id, ok: approved }, ...reason === undefined ? {} : { reason } }
}

function keyOf ({ agentId, sessionId }: SessionChoice): string {
  return JSON.stringify([agentId, sessionId])
}

/**
 * Calls the task soon after an abort: who resumes a chat aborts the one before first, and says so only then.
 * @returns a function after whose call the signal is no longer heard
 */
function whenAborted (signal: AbortSignal | undefined, task: () => void): () => void {
  const onAbort = (): void => { queueMicrotask(task) }
  if (signal?.aborted === true) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  return () => { signal?.removeEventListener('abort', onAbort) }
}
