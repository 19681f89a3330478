import { createHash } from 'node:crypto'

// 132 bits: names are the clients' own choice, and none may find another one's keys.
const TAG_LENGTH = 22

/**
 * Names the keys that belong together. They have a hash tag in common, so that one node of a cluster has them all, and one script may
 * touch them all.
 * @param text what they belong to, such as `sessionKeyText` of a session
 */
export function redisKeys (prefix: string, text: string): (name: string) => string {
  const tag = createHash('sha256').update(text).digest('base64url').slice(0, TAG_LENGTH)
  return (name) => `${prefix}{${tag}}:${name}`
}

/** @throws TypeError for what is no prefix, RangeError for one that would be taken for a hash tag */
export function checkedPrefix (what: string, prefix: unknown): string {
  if (typeof prefix !== 'string' || prefix === '') {
    throw new TypeError(`${what} needs a prefix for its keys, such as 'my-app:', which keeps them apart from those of others`)
  }
  if (/[{}]/.test(prefix)) throw new RangeError(`the prefix of ${what} must be without { and }, which mark hash tags, not ${prefix}`)
  return prefix
}
