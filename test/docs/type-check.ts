import { join } from 'node:path'

import ts from 'typescript'

export interface TypeFault {
  file: string
  /** From 0. */
  line: number
  text: string
}

/** Everything TypeScript has to say of the project in that folder. */
export function typeFaults (folder: string): TypeFault[] {
  const path = join(folder, 'tsconfig.json')
  const read = (file: string): string | undefined => ts.sys.readFile(file)
  const { config } = ts.readConfigFile(path, read) as { config: unknown }
  const { fileNames, options, errors } = ts.parseJsonConfigFileContent(config, ts.sys, folder)
  const program = ts.createProgram(fileNames, options)
  return [...errors, ...ts.getPreEmitDiagnostics(program)].map(({ file, start, messageText }) => ({
    file: file?.fileName ?? path,
    line: file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line,
    text: ts.flattenDiagnosticMessageText(messageText, '\n')
  }))
}
