// @ts-check
/** A step of the set-up: it looks first, acts only if something is missing, then looks again. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandFailed, Interrupted, root } from './process.mjs';

/**
 * @typedef {object} Step
 * @property {string} title
 * @property {() => string | undefined | Promise<string | undefined>} check what is there, in a word or two; undefined if something is missing
 * @property {() => Promise<void>} act brings it
 * @property {string} doing what `act` does and how long it may take, for the impatient
 * @property {string} remedy what a person can do if `act` fails
 */

/** A step that failed, told in full. */
export class StepFailed extends Error {
  /**
   * @param {Step} step
   * @param {string} detail
   */
  constructor(step, detail) {
    super(`✗ ${step.title}: ${detail}\n  What to do: ${step.remedy}`);
  }
}

/** @param {number} startMs */
export const elapsed = (startMs) => `(${((Date.now() - startMs) / 1000).toFixed(1)} s)`;

/** Prints one line with the time; throws StepFailed.
 * @param {Step} step
 */
export async function ensure(step) {
  const start = Date.now();
  try {
    let found = await step.check();
    if (found === undefined) {
      console.log(`… ${step.title}: ${step.doing}`);
      await step.act();
      found = await step.check();
      if (found === undefined)
        throw new StepFailed(step, 'it ran without an error, and yet something is missing');
    }
    console.log(`✓ ${step.title} ${found}  ${elapsed(start)}`);
  } catch (error) {
    if (error instanceof StepFailed || error instanceof Interrupted) throw error;
    const detail = error instanceof CommandFailed ? error.message : explain(error);
    throw new StepFailed(step, `${detail}  ${elapsed(start)}`);
  }
}

/** Message and, for errors that carry one, remedy.
 * @param {unknown} error
 */
function explain(error) {
  if (!(error instanceof Error)) return String(error);
  const remedy = 'remedy' in error && typeof error.remedy === 'string' ? ` ${error.remedy}` : '';
  return `${error.message}${remedy}`;
}

const stampFile = (/** @type {string} */ name) => join(root, '.tools/stamps', name);

/** Whether the work under this name was last done from the same inputs.
 * @param {string} name
 * @param {string} inputs a hash
 */
export function isStamped(name, inputs) {
  try {
    return readFileSync(stampFile(name), 'utf8').trim() === inputs;
  } catch {
    return false;
  }
}

/**
 * @param {string} name
 * @param {string} inputs
 */
export function stamp(name, inputs) {
  mkdirSync(join(root, '.tools/stamps'), { recursive: true });
  writeFileSync(stampFile(name), `${inputs}\n`);
}

/** Taken away before work starts, so that work cut short is done again.
 * @param {string} name
 */
export const unstamp = (name) => rmSync(stampFile(name), { force: true });

/** A hash over files and whole folders (names and contents) of the checkout; what does not exist counts as that.
 * @param {string[]} paths relative to the checkout
 */
export function hashOf(paths) {
  const hash = createHash('sha256');
  for (const path of paths.flatMap(filesUnder)) {
    hash.update(`${path}\0`);
    hash.update(contentOf(path));
    hash.update('\0');
  }
  return hash.digest('hex');
}

/** @param {string} path @returns {string[]} */
function filesUnder(path) {
  try {
    const entries = readdirSync(join(root, path), { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
      .sort();
  } catch {
    return [path];
  }
}

/** @param {string} path */
function contentOf(path) {
  try {
    return readFileSync(join(root, path));
  } catch {
    return 'absent';
  }
}
