/** Where a channel and its routes are when neither an option nor their scope has a prefix. */
export const DEFAULT_PREFIX = '/api/v1'
