export { sseTransport } from './sse-transport.js'
export type { SseTransportOptions } from './sse-transport.js'
