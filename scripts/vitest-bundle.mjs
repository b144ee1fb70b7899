// @ts-check
/** Vitest's global setup of the lab lane. */
export { builtFromSources as setup } from './bundle.mjs';
