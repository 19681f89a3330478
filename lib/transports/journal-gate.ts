import type { FastifyReply, FastifyRequest } from 'fastify'

import type { RefusalBody } from './refusal.js'

/** The header in which a request says under which journal alone it is meant. */
export const JOURNAL_HEADER = 'channel-journal'

/**
 * Answers a request that is meant for another journal, where chats that were sent before may be unknown: a client that
 * sends one again must not have it run a second time.
 */
export async function refuseOtherJournal (request: FastifyRequest, reply: FastifyReply, journal: string): Promise<void> {
  const { [JOURNAL_HEADER]: meant } = request.headers
  if (meant !== undefined && meant !== journal) await reply.code(412).send(OTHER_JOURNAL)
}

const OTHER_JOURNAL: RefusalBody = {
  statusCode: 412,
  code: 'OTHER_JOURNAL',
  error: 'Precondition Failed',
  message: 'What was sent before may be unknown here: the journal is another than the one that the request names',
  retryable: false
}
