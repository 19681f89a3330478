export { channelChatTransport, ChannelChatTransport } from './channel-chat-transport.js'
export type { ApprovalAnswer, ChannelChatTransportOptions, ChatClient, ChatTerms, DataChunk, OpenApproval, PageStorage } from './options.js'
export { toUIMessages } from './ui-messages.js'
export type { ChannelChat, ChannelMessageMetadata, ChatAsked } from './ui-messages.js'
