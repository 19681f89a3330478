/**
 * Why a database could not do what a store or a journal asked of it:
 * `away`: there is no connection, or it broke; `late`: no answer in time, and whether it was done is unknown; `full`: no room for
 * more; `read-only`: what answers takes no writes, such as a master that was replaced; `refused`: for a reason of the database's own;
 * `closed`: by the host.
 */
export type StoreErrorReason = 'away' | 'late' | 'full' | 'read-only' | 'refused' | 'closed'

/**
 * Rejected with by the stores and journals over databases. Clients are told `STORE_UNAVAILABLE`; this is for the log. It has no `cause`:
 * the errors of database clients hold what was to be written, which belongs into no log.
 */
export class StoreError extends Error {
  readonly reason: StoreErrorReason

  constructor (reason: StoreErrorReason, message: string) {
    super(message)
    this.name = 'StoreError'
    this.reason = reason
  }
}
