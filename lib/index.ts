export { wsChannel, wsChannel as default } from './plugin.js'
export type { Channel, ChannelStats } from './channel.js'
export { channelRest, type ChannelRestOptions } from './rest.js'
export { channelPlayground } from './playground.js'
export type { ChannelPlaygroundOptions } from './playground.js'
export type { ChannelLimits, ChannelSetup, WsChannelOptions } from './options.js'

export { AgentError, AgentNotFoundError } from './agent/executor.js'
export type {
  AgentDefinition, AgentExecutor, Answer, EventPart, Executor, FinishPart, FullStreamAnswer, MessagePart, MetadataPart, Part, TextPart, Turn
} from './agent/executor.js'
export type { AgentEvents } from './protocol/agent-events.js'

export { memorySessionStore } from './sessions/memory-session-store.js'
export type { MemorySessionStore, MemorySessionStoreOptions } from './sessions/memory-session-store.js'
export type {
  MessagePage, PageRequest, SessionListKey, SessionMessage, SessionPage, SessionStore, SessionSummary
} from './sessions/session-store.js'
export type { SessionKey } from './protocol/session-key.js'

export { memoryJournal } from './journal/memory-journal.js'
export type { MemoryJournalOptions } from './journal/memory-journal.js'
export type {
  Claimed, EndedTurn, Entry, Followed, FollowFrom, Journal, JournalNews, JournalStats, JournalWatcher, NewEntry, Offer, OfferTerms,
  OpenTurn, Position, Run, SessionCursor, StoredChat, TextReader, TurnCursor, TurnEnd, TurnError, TurnIds, TurnView
} from './journal/journal.js'

export type { Awaitable } from './awaitable.js'
export type { Clock } from './clock.js'

export { CLOSE_CODES, ERROR_CODES } from './protocol/codes.js'
export type { CloseName, ErrorCode, ReconnectAdvice } from './protocol/codes.js'
export { SUBPROTOCOL } from './protocol/names.js'
export type { BusyPolicy, DisconnectPolicy, FinishReason } from './protocol/names.js'
export type { ChatFrame, ClientFrame, ClientFrameOf, ClientFrameType } from './protocol/client-frames.js'
export type { ServerFrame, ServerFrameOf, ServerFrameType, Usage } from './protocol/server-frames.js'

export type { AsyncApiDocument, AsyncApiInfo, AsyncApiServer } from './protocol/asyncapi.js'
export type { AsyncApiSettings } from './transports/asyncapi-host.js'

export { ChannelError } from './transports/channel-error.js'
export type { FollowOptions, HostChat, SessionRef, StartedTurn } from './transports/host-access.js'
export type { FrameOf, FrameSender, HostType } from './transports/host-types.js'
export type { HostFrame } from './protocol/host-frame.js'
export type { Authorize } from './transports/frame-gate.js'
export type { Identify, Identity } from './transports/identity.js'
export type { OriginFunction, OriginOption, OriginValue } from './transports/origin.js'
export type { ChannelRouteOptions } from './transports/route-options.js'
export type { InjectWs, InjectWsOptions } from './transports/inject-websocket.js'
