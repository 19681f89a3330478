import type { FrameBatch } from './frame-bytes.js'

/** Said in place of a frame: the peer can no longer be told what comes next. */
export const LOST = Symbol('lost')
/** Said in place of one or several frames that were added to the batch, and behind which their turn goes on. */
export const WRITTEN = Symbol('written')

/** Something that has frames to send, and says `wake` when it has more. */
export interface FrameSource {
  /**
   * The next frame; `undefined` when there is none yet; {@link LOST}, after which there is nothing more.
   * @param isBehind whether the peer reads more slowly than frames are made
   * @param batch where a frame may be put as bytes, which is then {@link WRITTEN}; without it there are only texts
   */
  next(isBehind: boolean, batch?: FrameBatch): string | typeof LOST | typeof WRITTEN | undefined
}
