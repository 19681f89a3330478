import { createHash } from 'node:crypto'

/** A Lua script, and the name by which Redis knows it once it has seen it. */
export class RedisScript {
  readonly lua: string
  readonly sha: string

  constructor (lua: string) {
    this.lua = lua
    this.sha = createHash('sha1').update(lua).digest('hex')
  }
}
