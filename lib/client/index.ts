export { createChannelClient } from './channel-client.js'
export type {
  ChannelClient, ChatRequest, ClientEvents, HistoryRequest, HostFrames, SessionChoice, SubscribeRequest
} from './channel-client.js'
export { ChannelClientError } from './client-error.js'
export type { ClientErrorCode } from './client-error.js'
export type { ClientClock } from './client-clock.js'
export type { ConnectionState } from './connection.js'
export type { ClientTurn, TurnEvent, TurnResult } from './open-turn.js'
export type { ChannelClientOptions, ClientWebSocket, TokenSource, WebSocketConstructor } from './options.js'
export type { SessionNews, SessionPosition, Subscription } from './subscription.js'
export type { ErrorCode } from '../protocol/codes.js'
export type { BusyPolicy, FinishReason } from '../protocol/names.js'
export type { ServerFrameOf, SessionMessage, Usage } from '../protocol/server-frames.js'
