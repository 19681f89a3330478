/** What of a browser's page this needs; elsewhere there is nothing of it. */
interface Page {
  addEventListener: EventTarget['addEventListener']
  document: EventTarget
}

/** Calls `wake` when a page is seen again, taken out of a browser's cache, or online: its connection may be gone, unnoticed. */
export function wakeWithPage (wake: () => void, until: AbortSignal): void {
  const { addEventListener, document } = globalThis as Partial<Page>
  for (const type of ['online', 'pageshow']) addEventListener?.(type, wake, { signal: until })
  document?.addEventListener('visibilitychange', wake, { signal: until })
}
