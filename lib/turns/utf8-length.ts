/** Up to so many UTF-16 code units a loop is faster than a call into the runtime. */
const SHORT_UNITS = 48

/** How many bytes of UTF-8 a well-formed text has. */
export function utf8Length (text: string): number {
  if (text.length > SHORT_UNITS) return Buffer.byteLength(text)
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    // A character of two units has four bytes.
    if (unit >= 0x80) bytes += unit < 0x800 || isSurrogate(unit) ? 1 : 2
  }
  return bytes
}

/** Whether there are surrogates in a text, alone or in pairs. */
export function hasSurrogates (text: string): boolean {
  if (text.length > SHORT_UNITS) return /[\ud800-\udfff]/.test(text)
  for (let i = 0; i < text.length; i++) if (isSurrogate(text.charCodeAt(i))) return true
  return false
}

function isSurrogate (unit: number): boolean {
  return unit >= 0xd800 && unit < 0xe000
}
