/** @file This package's version, from its package.json. Must not know anything else of the package. */
import { readFileSync } from 'node:fs'

/** `0.1.0` */
export const version: string = readVersion()

function readVersion(): string {
  const parsed: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed ? String(parsed.version) : '0.0.0'
}
