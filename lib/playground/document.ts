import { randomBytes } from 'node:crypto'

import type { PageFiles } from './page-files.js'

export interface KnownAgent {
  id: string
  /** For people. */
  description?: string | undefined
}

/** What the page's script is told. */
export interface PageConfig {
  /** Where the channel is, relative to the page. */
  channel: string
  agents: KnownAgent[]
}

/** For one response: whoever injects a script cannot know it. */
export function freshNonce (): string {
  return randomBytes(16).toString('base64')
}

/** The page, whole: nothing else is loaded. */
export function documentOf ({ script, style }: PageFiles, config: PageConfig, nonce: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Channel playground</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${style}</style>
</head>
<body>
<noscript>This page is a program: it needs JavaScript.</noscript>
<script type="application/json" id="config">${inScript(JSON.stringify(config))}</script>
<script type="module" nonce="${nonce}">${script}</script>
</body>
</html>
`
}

/** JSON in which no tag begins: an agent may be called anything. */
function inScript (json: string): string {
  return json.replaceAll('<', '\\u003c')
}
