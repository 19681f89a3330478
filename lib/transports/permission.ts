import type { ClientFrame } from '../protocol/client-frames.js'
import { FrameGate } from './frame-gate.js'
import type { Identity } from './identity.js'
import { Refusal } from './refusal.js'
import type { RestTools } from './rest-tools.js'

/**
 * Asks the host's `authorize` about a request, as about the frame that it stands for.
 * @throws Refusal
 */
export async function askPermission (
  frame: ClientFrame, { owner }: Identity, tools: RestTools
): Promise<void> {
  const { authorize } = tools
  if (authorize === undefined) return
  await new Promise<void>((resolve, reject) => {
    const gate = new FrameGate(authorize, {
      owner,
      asked: () => frame,
      onVerdict: (_frame, isAllowed) => { if (isAllowed) resolve(); else reject(new Refusal('FORBIDDEN')) },
      onNoVerdict: (_frame, err) => {
        tools.log.error({ err, owner }, 'the host could not decide on a request (`authorize`)')
        reject(new Refusal('INTERNAL'))
      },
      onRequest: () => {}
    }, tools)
    gate.pass(frame)
  })
}
