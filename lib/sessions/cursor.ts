/** Says where the page before begins: only to the list of that `id`, so that no other one can take it for its own. */
export function cursorOf (id: string, position: number): string {
  return `${id}.${position}`
}

/** 0, which nothing precedes, for a cursor that is not one of `id` or lies above `top`. */
export function positionOf (cursor: string, id: string, top: number): number {
  const position = Number(cursor.slice(id.length + 1))
  return cursor === cursorOf(id, position) && position <= top ? position : 0
}

/** What a cursor says; nothing for what `cursorOf` never made. */
export function readCursor (cursor: string): { id: string, position: number } | undefined {
  const dot = cursor.lastIndexOf('.')
  const [id, position] = [cursor.slice(0, Math.max(dot, 0)), Number(cursor.slice(dot + 1))]
  return id !== '' && Number.isSafeInteger(position) && cursor === cursorOf(id, position) ? { id, position } : undefined
}
