// A part of examples/react-chat/server.ts: the page. In an app of your own its first import is `fastify-ws-channel/ai-sdk`.
import { channelChatTransport, type ChannelMessageMetadata, type OpenApproval } from '../../lib/chat-transport/index.js'
import { useChat } from '@ai-sdk/react'
import type { UIDataTypes, UIMessage } from 'ai'
import { StrictMode, useState, type FormEvent } from 'react'
import { createRoot } from 'react-dom/client'

type Message = UIMessage<ChannelMessageMetadata, UIDataTypes, { buy: { input: { what: string }, output: { bought: string } } }>
type Part = Message['parts'][number]

// One for the page: all of its chats share a connection. It is outside of the components, which come and go.
const transport = channelChatTransport<Message>({
  url: '/api/v1/ws',
  // Where a turn is joined on another device: what it asked before.
  openApprovals: async ({ sessionId }, client) => await client.send('approvals', { sessionId }) as OpenApproval[]
})

function Chat ({ id, said }: { id: string, said: Message[] }) {
  const chat = useChat<Message>({ id, messages: said, transport, resume: true })
  const [trouble, setTrouble] = useState('')
  const isBusy = chat.status === 'submitted' || chat.status === 'streaming'

  function send (event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = event.currentTarget
    const text = new FormData(form).get('message')
    if (typeof text === 'string') void chat.sendMessage({ text })
    form.reset()
  }

  /** The channel takes it to the agent, whoever has asked; the chat shows it at once. */
  async function answer (approvalId: string, approved: boolean) {
    await chat.addToolApprovalResponse({ id: approvalId, approved })
    await transport.approve({ id: approvalId, approved }).catch((error: unknown) => { setTrouble(String(error)) })
  }

  return (
    <>
      <h1>Chat</h1>
      <main aria-live="polite">
        {chat.messages.map(({ id, role, parts }) => (
          <article key={id} className={role}>
            {parts.map((part, index) => <PartView key={index} part={part} answer={answer} />)}
          </article>
        ))}
      </main>
      <form onSubmit={send}>
        <input name="message" aria-label="Your message" autoComplete="off" required />
        <button>Say it</button>
        <button type="button" disabled={!isBusy} onClick={() => { void chat.stop() }}>Stop</button>
      </form>
      <p role="status">{chat.error?.message ?? trouble}</p>
    </>
  )
}

function PartView ({ part, answer }: { part: Part, answer: (approvalId: string, approved: boolean) => Promise<void> }) {
  if (part.type === 'text') return <span className="text">{part.text}</span>
  if (part.type === 'reasoning') return <p className="reasoning">{part.text}</p>
  if (part.type !== 'tool-buy') return null
  const { state, input } = part
  if (state !== 'approval-requested') return <p>{state === 'output-available' ? `Bought: ${part.output.bought}` : `Buying ${input?.what} …`}</p>
  return (
    <fieldset role="alertdialog" aria-label="Approval">
      Buy {input.what}?
      <button onClick={() => { void answer(part.approval.id, true) }}>Yes</button>
      <button onClick={() => { void answer(part.approval.id, false) }}>No</button>
    </fieldset>
  )
}

// Two pages with the same fragment, such as #tea, are two devices in one session.
const id = location.hash.slice(1) || 'page'
const { messages } = await transport.messages(id)
const root = createRoot(document.querySelector('#chat') ?? document.body)
root.render(<StrictMode><Chat id={id} said={messages as Message[]} /></StrictMode>)
