let turn = 0
let isCounting = false

/** Changes with each turn of the event loop in which it is asked. One look at the loop serves all who ask. */
export function loopTurn (): number {
  if (!isCounting) {
    isCounting = true
    setImmediate(next)
  }
  return turn
}

function next (): void {
  isCounting = false
  turn++
}
