import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { needsOperator } from '../domain/errors.ts';
import { ConfigError, maxAliasCount, schemaProblems, yamlProblems } from './problems.ts';
import { configSchema, type Config } from './schema.ts';

const systemFile = '/etc/vmferry/vmferry.yaml';
/** A file beyond this is no configuration. */
const maxBytes = 1024 * 1024;

export interface LoadOptions {
  /** What `--config` said. */
  path?: string;
  env?: NodeJS.ProcessEnv;
  /** Folder that relative paths start from. Default: the working directory. */
  cwd?: string;
  /** Looked at last. For tests. Default: `/etc/vmferry/vmferry.yaml`. */
  systemPath?: string;
}

/**
 * The file that `loadConfig` would read: `--config`, then `$VMFERRY_CONFIG`, then `./vmferry.yaml`, then
 * `/etc/vmferry/vmferry.yaml`. A file that was named but is not there is an error; it is never skipped.
 * Throws `config-missing`.
 */
export function findConfig(options: LoadOptions = {}): string {
  const { path, env = process.env, cwd = process.cwd(), systemPath = systemFile } = options;
  const named = [
    { by: '--config', path },
    { by: '$VMFERRY_CONFIG', path: env['VMFERRY_CONFIG'] },
  ].find((one) => one.path !== undefined && one.path !== '');
  if (named?.path !== undefined) {
    const file = resolve(cwd, named.path);
    if (isThere(file)) return file;
    throw needsOperator({
      code: 'config-missing',
      message: `${named.by} names ${file}, which does not exist`,
      remedy:
        'Correct the path, or leave it out to use ./vmferry.yaml or /etc/vmferry/vmferry.yaml.',
    });
  }
  const usual = [resolve(cwd, 'vmferry.yaml'), systemPath];
  const found = usual.find((file) => isThere(file));
  if (found !== undefined) return found;
  throw needsOperator({
    code: 'config-missing',
    message: `no configuration: no --config, no $VMFERRY_CONFIG, and neither ${usual.join(' nor ')} exists`,
    remedy: 'Write one (docs/configuration.md has a short example) or name it with --config.',
  });
}

/** What cannot be looked at counts as there: the reading says why, which is more than that no file was found. */
function isThere(file: string): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true;
  }
}

/**
 * Finds, reads and checks the configuration. The result is frozen all the way down.
 * Throws `config-missing`, `config-unreadable`, or ConfigError (`config-invalid`) with every problem in the file.
 */
export function loadConfig(options: LoadOptions = {}): Config {
  const file = findConfig(options);
  return parseConfig(readBounded(file), file);
}

function readBounded(file: string): string {
  const unreadable = (detail: string, cause?: unknown) =>
    needsOperator({
      code: 'config-unreadable',
      message: `the configuration ${file} cannot be read: ${detail}`,
      remedy: 'Check that it is a file of less than 1 MiB and that this user may read it.',
      cause,
    });
  let text: string;
  try {
    const { size } = statSync(file);
    if (size > maxBytes) throw unreadable(`it has ${size} bytes`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (!(error instanceof Error) || !('errno' in error)) throw error;
    throw unreadable(error.message, error);
  }
  return text;
}

/** Checks the text of a configuration; `file` is for messages. Throws ConfigError with every problem. */
export function parseConfig(text: string, file = 'vmferry.yaml'): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
  });
  const broken = yamlProblems(document, lines);
  if (broken.length > 0) throw new ConfigError(file, broken);
  const parsed = configSchema.safeParse(document.toJS({ maxAliasCount }) ?? {}, {
    reportInput: true,
  });
  if (!parsed.success)
    throw new ConfigError(file, schemaProblems(parsed.error.issues, { document, lines }));
  return deepFreeze(parsed.data);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const part of Object.values(value)) deepFreeze(part);
    Object.freeze(value);
  }
  return value;
}
