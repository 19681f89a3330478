// node examples/openai-client.mjs "where is order 2?"
//
// OpenAI's own client, with nothing changed but its base URL. Ctrl+C stops the agent too.
//   CHANNEL_HTTP, CHANNEL_TOKEN    where, and as whom
//   CHANNEL_AGENT                  which agent, as the model
//   CHANNEL_SESSION                the session in which it is said; without one nothing is kept
import OpenAI from 'openai'

const client = new OpenAI({
  baseURL: process.env.CHANNEL_HTTP ?? 'http://localhost:9527/api/v1',
  apiKey: process.env.CHANNEL_TOKEN || 'none'
})
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())

try {
  const chunks = await client.chat.completions.create({
    model: process.env.CHANNEL_AGENT ?? 'main',
    messages: [{ role: 'user', content: process.argv.slice(2).join(' ') || 'Hello' }],
    stream: true,
    // A field that only this server knows.
    sessionId: process.env.CHANNEL_SESSION
  }, { signal: stop.signal })

  for await (const { choices } of chunks) process.stdout.write(choices[0]?.delta.content ?? '')
  process.stdout.write('\n')
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
