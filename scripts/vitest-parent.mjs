// @ts-check
/** Vitest's global setup of every lane: a run that nobody waits for any more ends, and its labs with it. */
export { endWithParent as setup } from './process.mjs';
