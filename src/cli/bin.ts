#!/usr/bin/env node
/** @file The command `lowrank`. Imports little, so that `--help` is quick; verbs are loaded when they are named. */
import { main } from './main.ts'

process.exitCode = await main(process.argv.slice(2))
// An engine that was not disposed must not hold the shell: whatever is still open after this long is left behind.
setTimeout(() => process.exit(), 5000).unref()
