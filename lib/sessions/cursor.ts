/** Says where the page before begins: only to the list of that `id`, so that no other one can take it for its own. */
export function cursorOf (id: string, position: number): string {
  return `${id}.${position}`
}

/** 0, which nothing precedes, for a cursor that is not one of `id` or lies above `top`. */
export function positionOf (cursor: string, id: string, top: number): number {
  const position = Number(cursor.slice(id.length + 1))
  return cursor === cursorOf(id, position) && position <= top ? position : 0
}
