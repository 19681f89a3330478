import type { FastifyBaseLogger } from 'fastify'

export interface LogLine {
  level: string
  fields: Record<string, unknown>
  text: string
}

/** A logger that keeps its lines, with what its parents have bound. */
export function recordingLog (lines: LogLine[] = [], bound: Record<string, unknown> = {}): FastifyBaseLogger & { lines: LogLine[] } {
  const at = (level: string) => (fields: unknown, text: string): void => {
    lines.push({ level, fields: { ...bound, ...fields as Record<string, unknown> }, text })
  }
  const log = {
    lines,
    level: 'trace',
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    silent () {},
    child: (bindings: Record<string, unknown>) => recordingLog(lines, { ...bound, ...bindings })
  }
  // Fastify asks for all of pino's overloads; nothing here uses them.
  return log as unknown as FastifyBaseLogger & { lines: LogLine[] }
}
