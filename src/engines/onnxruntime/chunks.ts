/** @file Into how many pieces lowerings cut what would stand too large at once. Must not know what is cut. */

/** Blocks of queries of a causal attention; with fewer rows than blocks some are empty, but never the last. */
export const BLOCKS = 4

/** Chunks of rows that go through the head; more than `CHUNKS · MIN_ROWS` make them larger, fewer leave some empty. */
export const CHUNKS = 8
/** A chunk streams the whole head through the cache twice: fewer rows than this and that is what takes the time. */
const MIN_ROWS = 128

export function chunkRows(rows: number): number {
  return Math.max(MIN_ROWS, Math.ceil(rows / CHUNKS))
}
