export function missingPackages (): string[]
export function postgresProgram (name: string): string
