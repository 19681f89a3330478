// Makes the playground's script and style of their sources: of a clone when it runs from there, of the package by `npm run build`.
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { build, stop } from 'esbuild'

const PAGE = fileURLToPath(new URL('../lib/playground/page/', import.meta.url))

/** Both go into the page itself, so in neither may a tag end, or a comment begin. */
export async function bundlePage () {
  const { outputFiles } = await build({
    entryPoints: [{ in: join(PAGE, 'main.ts'), out: 'script' }, { in: join(PAGE, 'style.css'), out: 'style' }],
    outdir: PAGE,
    write: false,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    // The licenses of what is bundled.
    legalComments: 'inline',
    logLevel: 'silent'
  })
  // Else its process stays as long as this one.
  await stop()
  const textOf = (name) => outputFiles.find(({ path }) => basename(path) === name).text
  return {
    script: textOf('script.js').replace(/<(?=!--|\/?script)/gi, '\\x3C'),
    style: textOf('style.css').replace(/<(?=\/style)/gi, '\\3C ')
  }
}

/** Into the folder of the built package, beside the code that reads them. */
export async function writePage (folder) {
  const { script, style } = await bundlePage()
  await mkdir(folder, { recursive: true })
  await Promise.all([writeFile(join(folder, 'playground-page.js'), script), writeFile(join(folder, 'playground-page.css'), style)])
}
