// Of what tap printed, the assertions that failed, each under the names of the tests it stands in. A run of the whole
// prints tens of thousands of lines: what failed has to stand at their end too.
const POINT = /^( *)(not ok|ok) \d+/
const SUBTEST = /^( *)# Subtest: (.*)$/
const MOST_LINES = 60

/**
 * One text for each assertion that failed, in their order: where it stands, its line, its diagnostics. Tests that failed
 * only because one inside them did are left out.
 * @param {string} tap lines of TAP version 14
 * @returns {string[]}
 */
export function failuresOf (tap) {
  const lines = tap.split('\n')
  const open = []
  const failures = []
  for (const [index, line] of lines.entries()) {
    const subtest = SUBTEST.exec(line)
    if (subtest !== null) open.push({ indent: subtest[1].length, name: subtest[2], hasFailure: false })
    const point = POINT.exec(line)
    if (point === null) continue
    const [, { length: indent }, result] = point
    // A file of tests that says nothing more has ended within another's lines.
    while (open.length > 0 && open.at(-1).indent > indent) open.pop()
    const closed = open.at(-1)?.indent === indent ? open.pop() : undefined
    if (result === 'ok' || isExpected(line)) continue
    for (const around of open) around.hasFailure = true
    if (closed?.hasFailure !== true) failures.push(textOf(lines, index, indent, open))
  }
  return failures
}

function isExpected (line) {
  return / # (todo|skip)\b/i.test(line)
}

function textOf (lines, index, indent, open) {
  const text = [open.map(({ name }) => name).join(' > '), lines[index].slice(indent)]
  for (let at = index + 1; at < lines.length && text.length < MOST_LINES; at++) {
    const isDiagnostics = lines[at].startsWith(`${' '.repeat(indent)}  `)
    if (!isDiagnostics) break
    text.push(lines[at].slice(indent))
    if (lines[at].trim() === '...') break
  }
  return text.join('\n')
}
