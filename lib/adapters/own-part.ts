import type { Part } from '../agent/executor.js'

const OWN_TYPES: readonly unknown[] = ['text', 'message', 'event', 'metadata', 'finish'] satisfies Array<Exclude<Part, string>['type']>

/** A part that a host puts between an SDK's items goes its way as it is. The runner checks it as any other. */
export function isOwnPart (item: unknown): item is Part {
  if (typeof item === 'string') return true
  return typeof item === 'object' && item !== null && 'type' in item && OWN_TYPES.includes(item.type)
}
