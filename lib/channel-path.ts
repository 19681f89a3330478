/** Where a channel and its routes are when neither an option nor their scope has a prefix. */
export const DEFAULT_PREFIX = '/api/v1'

/** The path of the AsyncAPI document beside that of its channel; none behind a wildcard, where nothing can stand. */
export function asyncApiPath (path: string): string | undefined {
  return path.includes('*') ? undefined : `${path.replace(/\/+$/, '')}/asyncapi.json`
}
