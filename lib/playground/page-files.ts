import { readFile } from 'node:fs/promises'

/** What the page is made of. */
export interface PageFiles {
  script: string
  style: string
}

/** Where the build puts them, and this code with them: it is a part of `index.js` there. In a clone they are nowhere. */
const BUILT = import.meta.url.endsWith('.ts') ? undefined : new URL('./', import.meta.url)

/** Makes them of the sources: a part of the project, and not of the package. */
const BUNDLER = new URL('../../.ci/page-bundle.mjs', import.meta.url)

/**
 * The files that `npm run build` has made, as they are in the package; in a clone that runs from its sources, what those
 * are now.
 * @throws when they can be neither read nor made
 */
export async function readPageFiles (folder: URL | undefined = BUILT): Promise<PageFiles> {
  if (folder !== undefined) {
    const textOf = (name: string): Promise<string> => readFile(new URL(name, folder), 'utf8')
    return { script: await textOf('playground-page.js'), style: await textOf('playground-page.css') }
  }
  // Typed by what it is for: the compiler does not see a module that is named at run time.
  const { bundlePage } = await import(BUNDLER.href) as { bundlePage: () => Promise<PageFiles> }
  return await bundlePage()
}
