/** What of a page can be tried. */
export interface Page {
  lines: number
  blocks: Block[]
  /** Where its links lead, without those to other sites. */
  links: string[]
  /** Command lines: those of `sh` blocks, and what reads like one in the text. */
  commands: string[]
}

export interface Block {
  language: string
  code: string
  /** The heading that it stands under. */
  section: string
  /** The line of its first line, from 1. */
  line: number
}

export function readPage (markdown: string): Page {
  const lines = markdown.trimEnd().split('\n')
  const blocks: Block[] = []
  const text: string[] = []
  let section = ''
  let block: Block | undefined
  lines.forEach((line, index) => {
    const fence = /^```(.*)$/.exec(line)
    if (fence !== null) {
      if (block !== undefined) blocks.push(block)
      block = block === undefined ? { language: fence[1] ?? '', code: '', section, line: index + 2 } : undefined
    } else if (block !== undefined) {
      block.code += `${line}\n`
    } else {
      section = /^## (.*)$/.exec(line)?.[1] ?? section
      text.push(line)
    }
  })
  return { lines: lines.length, blocks, links: linksOf(text.join('\n')), commands: [...commandsIn(blocks), ...spansOf(text.join('\n')).filter(isCommand)] }
}

/** The text between backticks, on one line each. */
export function spansOf (markdown: string): string[] {
  return [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span)
}

function linksOf (markdown: string): string[] {
  return [...markdown.matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => target).filter((target) => !/^[a-z]+:/.test(target))
}

function commandsIn (blocks: Block[]): string[] {
  const lines = blocks.filter(({ language }) => language === 'sh').flatMap(({ code }) => code.trimEnd().replaceAll(/\\\n\s*/g, '').split('\n'))
  return lines.flatMap((line) => line.split(' && '))
}

function isCommand (span: string): boolean {
  return /^(npm|npx|node|apt-get) /.test(span)
}
