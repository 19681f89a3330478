// How tap reads TypeScript: `node --import=./.ci/typescript.mjs some.test.ts`. The compiler's own translation, line by line,
// since coverage goes by lines; kept from one process to the next, since each test file is one, and to load the compiler takes
// longer than most of them. tap's own hooks see none of it: it cannot mock what is imported, nor tell which tests a file is for.
import { register } from 'node:module'

register('./typescript-hooks.mjs', import.meta.url)
