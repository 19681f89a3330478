const PAUSE_MS = 10

/** Asks another process again and again until it is so. For what only asking can tell. */
export async function until (what: string, patienceMs: number, isSo: () => Promise<boolean>): Promise<void> {
  for (const giveUpAt = Date.now() + patienceMs; !await isSo();) {
    if (Date.now() > giveUpAt) throw new Error(`waited ${patienceMs} ms in vain for ${what}`)
    await new Promise((resolve) => { setTimeout(resolve, PAUSE_MS) })
  }
}
