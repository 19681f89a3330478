import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

/** What the page is made of. */
export interface PageFiles {
  script: string
  style: string
}

const HERE = new URL('./', import.meta.url)

/** Makes them of the sources: a part of the project, and not of the package. */
const BUNDLER = new URL('../../.ci/page-bundle.mjs', import.meta.url)

/**
 * The files that `npm run build` has made, as they are in the package; in a clone that runs from its sources, what those
 * are now.
 * @throws when they can be neither read nor made
 */
export async function readPageFiles (folder: URL = HERE): Promise<PageFiles> {
  const script = new URL('playground-page.js', folder)
  if (existsSync(script)) {
    return { script: await readFile(script, 'utf8'), style: await readFile(new URL('playground-page.css', folder), 'utf8') }
  }
  // Typed by what it is for: the compiler does not see a module that is named at run time.
  const { bundlePage } = await import(BUNDLER.href) as { bundlePage: () => Promise<PageFiles> }
  return await bundlePage()
}
