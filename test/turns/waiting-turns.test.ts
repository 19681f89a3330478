import t from 'tap'

import { WaitingTurns } from '../../lib/turns/waiting-turns.js'
import { Random } from '../fuzz/random.js'

interface Turn { chat: { turnId: string }, n: number }

t.test('turns wait in their order, and a later one of the same id takes the place of the first', (t) => {
  const random = new Random(3)
  const waiting = new WaitingTurns<Turn>()
  let model: Turn[] = []
  const known: Turn[] = []
  for (let step = 0; step < 5_000; step++) {
    const turnId = `${random.below(5)}`
    switch (random.below(3)) {
      case 0: {
        const turn = { chat: { turnId }, n: step }
        known.push(turn)
        const index = model.findIndex(({ chat }) => chat.turnId === turnId)
        model = index < 0 ? [...model, turn] : model.with(index, turn)
        waiting.add(turn)
        break
      }
      case 1: {
        // Also one that does not wait, or not any more.
        const turn = random.perMille(700) ? model[random.below(5)] : known[random.below(known.length + 1)]
        if (turn === undefined) break
        model = model.filter((each) => each !== turn)
        waiting.delete(turn)
        break
      }
      default:
        if (waiting.find(turnId) !== model.find(({ chat }) => chat.turnId === turnId)) t.fail(`step ${step}`)
    }
    const is = [waiting.size, waiting.first, ...waiting.all()]
    if (is.length !== model.length + 2 || is.some((each, i) => each !== [model.length, model[0], ...model][i])) t.fail(`step ${step}`)
  }
  t.ok(known.length > 1_000)
  t.end()
})
