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
  frame: ClientFrame, { owner }: Identity, { authorize, limits: { authorizeTimeoutMs }, clock, log }: RestTools
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const gate = new FrameGate({
      owner,
      authorize,
      authorizeTimeoutMs,
      clock,
      onVerdict: (_frame, isAllowed) => { if (isAllowed) resolve(); else reject(new Refusal('FORBIDDEN')) },
      onFailure: (_frame, err) => {
        log.error({ err, owner }, 'the host could not decide on a request (`authorize`)')
        reject(new Refusal('INTERNAL'))
      },
      onRequest: () => {}
    })
    gate.pass(frame)
  })
}
