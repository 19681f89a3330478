// A part of examples/react-chat/server.ts: for `npx vite examples/react-chat` beside it, which renews the page as it is written.
import { defineConfig } from 'vite'

export default defineConfig({
  server: { proxy: { '/api': { target: 'http://localhost:9527', ws: true } } }
})
