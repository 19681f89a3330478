/** The WebSocket subprotocol of version 1. Offering it is optional; who offers it gets a `ready` frame first. */
export const SUBPROTOCOL = 'agent-channel.v1'

/** The agent that a chat goes to when neither the frame nor the connection names one. */
export const DEFAULT_AGENT_ID = 'main'

/** The owner of every session when the host's hooks leave no `request.user`. */
export const ANONYMOUS = 'anonymous'

/** The longest `agentId`, `sessionId` or `id`, in UTF-16 code units. */
export const MAX_NAME_LENGTH = 128

/**
 * A name without control characters and without lone surrogates. It says the same with and without the `u` flag:
 * validators differ in which they use.
 */
export const NAME_PATTERN = '^(?:[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]|[\\ud800-\\udbff][\\udc00-\\udfff])+$'

/** The client frame types of the protocol. A host cannot define a type of one of these names. */
export const CLIENT_FRAME_TYPES = ['chat', 'ping', 'cancel', 'subscribe', 'unsubscribe', 'history'] as const

/** What a chat to a busy session does. */
export const BUSY_POLICIES = ['queue', 'reject', 'interrupt'] as const

/** What becomes of a turn that nobody follows any more. */
export const DISCONNECT_POLICIES = ['continue', 'cancel'] as const

/** The event that begins every turn; its data are the chat's `message` and `metadata`. Nobody else can send it. */
export const TURN_STARTED = 'turn-started'

/** Why a turn ended. */
export const FINISH_REASONS = ['stop', 'length', 'content-filter', 'tool-calls', 'aborted', 'error', 'other'] as const

export type BusyPolicy = typeof BUSY_POLICIES[number]
export type DisconnectPolicy = typeof DISCONNECT_POLICIES[number]
export type FinishReason = typeof FINISH_REASONS[number]
