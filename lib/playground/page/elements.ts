/** An element with its attributes and what is in it; strings become text, never HTML. */
export function element<Name extends keyof HTMLElementTagNameMap> (
  name: Name, attributes: Record<string, string> = {}, ...content: Array<Node | string>
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...content)
  return made
}

let made = 0

/** An id for an element that another one points at: there may be two devices on the page. */
export function freshElementId (): string {
  return `element-${++made}`
}
