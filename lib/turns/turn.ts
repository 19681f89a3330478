/**
 * The life of a turn that has the right to run. What it waited for before is the journal's queue.
 *
 * - `starting`: the question is being kept, the executor was called, nothing has come yet.
 * - `streaming`: the executor has yielded.
 * - `ending`: how it ends is decided; what there is, is being kept.
 * - `ended`: the terminal entry is written.
 */
export type TurnState = 'starting' | 'streaming' | 'ending' | 'ended'
export type TurnEvent = 'part' | 'stop' | 'end-written'

/** The next state, or `undefined` when the event comes too late to change anything: the first to stop a turn wins. */
export function transition (state: TurnState, event: TurnEvent): TurnState | undefined {
  switch (state) {
    case 'starting':
    case 'streaming': return event === 'part' ? 'streaming' : event === 'stop' ? 'ending' : undefined
    case 'ending': return event === 'end-written' ? 'ended' : undefined
    case 'ended': return undefined
  }
}
