import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { readTranscript, type Transcript } from './transcript.js'

const FOLDER = fileURLToPath(new URL('../transcripts', import.meta.url))

/** Every golden transcript, by the name of its file. */
export function readTranscripts (): Array<{ name: string, transcript: Transcript }> {
  return readdirSync(FOLDER).filter((file) => file.endsWith('.jsonl')).sort().map((file) => {
    try {
      return { name: file.replace(/\.jsonl$/, ''), transcript: readTranscript(readFileSync(join(FOLDER, file), 'utf8')) }
    } catch (err) {
      throw new Error(`${file}: ${err instanceof Error ? err.message : String(err)}`, { cause: err })
    }
  })
}
