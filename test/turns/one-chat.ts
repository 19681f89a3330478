export const KEY = { owner: 'ann', agentId: 'main', sessionId: 's' }
export const CHAT = { turnId: 't1', message: 'hello', acceptedAt: 0 }
