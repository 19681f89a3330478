/** How long `eventually` looks before it gives up: shorter than tap's patience, which would say nothing. */
const PATIENCE_MS = 30_000

/** Looks once in every run of the event loop until it is so. For what has no event of its own to wait for. */
export async function eventually (isSo: () => boolean): Promise<void> {
  for (const giveUpAt = Date.now() + PATIENCE_MS; !isSo();) {
    if (Date.now() > giveUpAt) throw new Error(`never came true: ${isSo.toString()}`)
    await new Promise((resolve) => { setImmediate(resolve) })
  }
}
