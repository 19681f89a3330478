import createDOMPurify from 'dompurify'
import { Marked, type Tokens } from 'marked'

/** Headings of the page itself go down to this level. */
const OUTER_HEADINGS = 3

/** What Markdown makes, and nothing that loads, runs, or asks for something. */
const ALLOWED_TAGS = [
  'a', 'blockquote', 'br', 'code', 'del', 'em', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 'strong', 'table', 'tbody', 'td', 'th',
  'thead', 'tr', 'ul'
]
const ALLOWED_ATTR = ['href', 'title', 'start', 'align']

const purify = createDOMPurify(window)

const marked = new Marked({
  gfm: true,
  renderer: {
    // HTML in an answer is what somebody has written there: it is shown as that.
    html: ({ text, block }: Tokens.HTML | Tokens.Tag) => block ? `<p>${escaped(text)}</p>` : escaped(text),
    // An address that is loaded as soon as it is shown can carry away what was said.
    image: ({ href, text }: Tokens.Image) => `<a href="${escaped(href)}">${escaped(text === '' ? href : text)}</a>`,
    checkbox: ({ checked }: Tokens.Checkbox) => checked ? '☑ ' : '☐ ',
    heading ({ tokens, depth }: Tokens.Heading) {
      const level = Math.min(6, depth + OUTER_HEADINGS)
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`
    }
  }
})

/** Markdown as elements that are safe whatever it says. */
export function renderMarkdown (text: string): DocumentFragment {
  const fragment = purify.sanitize(marked.parse(text, { async: false }), {
    ALLOWED_TAGS,
    ALLOWED_ATTR,
    ADD_URI_SAFE_ATTR: ['start', 'align'],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true
  })
  for (const link of fragment.querySelectorAll('a')) {
    link.target = '_blank'
    link.rel = 'noopener noreferrer nofollow'
  }
  // What may be wider than the page scrolls by itself, and by keyboard too.
  for (const block of fragment.querySelectorAll('pre')) block.tabIndex = 0
  for (const table of fragment.querySelectorAll('table')) {
    const frame = document.createElement('div')
    frame.className = 'wide'
    frame.tabIndex = 0
    table.replaceWith(frame)
    frame.append(table)
  }
  return fragment
}

function escaped (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
