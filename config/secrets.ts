import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { needsOperator } from '../domain/errors.ts';
import type { EncryptionConfig } from './schema.ts';

const exec = promisify(execFile);
/** No secret of ours is longer. */
const maxSecretBytes = 64 * 1024;
const execTimeoutMs = 10_000;
const keyBytes = 32;

export interface ResolveOptions {
  env?: NodeJS.ProcessEnv;
  /** Limit for `exec:`. Default: 10 s. */
  timeoutMs?: number;
}

/**
 * Fetches the secret that a reference names:
 * `env:NAME` a variable; `file:/PATH` a file that others may not read; `exec:/PROGRAM ARG...` what a program prints,
 * run without a shell (arguments are split at spaces, there is no quoting).
 * Throws `secret-unavailable` or `secret-exposed`. Messages name the reference, never the secret or a program's output.
 */
export async function resolveReference(
  reference: string,
  options: ResolveOptions = {},
): Promise<Buffer> {
  const colon = reference.indexOf(':');
  const scheme = colon < 0 ? '' : reference.slice(0, colon);
  const rest = reference.slice(colon + 1);
  if (scheme === 'env') return fromEnvironment(rest, options.env ?? process.env);
  if (scheme === 'file') return readPrivateFile(rest);
  if (scheme === 'exec') return fromProgram(rest, options);
  throw unavailable('a reference', 'it is none of env:NAME, file:/PATH, exec:/PROGRAM ARGUMENTS');
}

/** Like `resolveReference`, as text without the line's end. */
export async function resolveText(
  reference: string,
  options: ResolveOptions = {},
): Promise<string> {
  return (await resolveReference(reference, options)).toString('utf8').replace(/\r?\n$/, '');
}

function fromEnvironment(name: string, env: NodeJS.ProcessEnv): Buffer {
  const value = env[name];
  if (value === undefined || value === '')
    throw unavailable(`env:${name}`, 'the variable is not set');
  return Buffer.from(value, 'utf8');
}

/**
 * A file with a secret, such as a private key. Throws `secret-exposed` if users other than its owner and group may
 * read it; the check is made on the opened file, so that it cannot be swapped in between.
 */
export async function readPrivateFile(path: string): Promise<Buffer> {
  const name = `file:${path}`;
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw unavailable(name, reason(error), error);
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw unavailable(name, 'it is not a file');
    if ((stat.mode & 0o007) !== 0) throw exposed(path, stat.mode);
    if (stat.size === 0) throw unavailable(name, 'the file is empty');
    if (stat.size > maxSecretBytes) throw unavailable(name, `it has ${stat.size} bytes`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

async function fromProgram(
  line: string,
  { env = process.env, timeoutMs = execTimeoutMs }: ResolveOptions,
): Promise<Buffer> {
  const [program = '', ...args] = line.split(' ').filter((word) => word !== '');
  try {
    const { stdout } = await exec(program, args, {
      encoding: 'buffer',
      env,
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: maxSecretBytes,
    });
    if (stdout.length === 0) throw new Error('it printed nothing');
    return stdout;
  } catch (error) {
    // The program's own output stays out: it may hold the secret. Nor is the error kept as the cause, for it does too.
    throw unavailable(`exec:${program}`, programReason(error, timeoutMs));
  }
}

function programReason(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return 'it failed';
  if ('killed' in error && error.killed === true)
    return `it took more than ${timeoutMs} ms or printed more than 64 KiB`;
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'it printed more than 64 KiB';
  if (typeof code === 'number') return `it ended with exit code ${code}`;
  if (typeof code === 'string') return code;
  return error.message;
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const unavailable = (name: string, detail: string, cause?: unknown) =>
  needsOperator({
    code: 'secret-unavailable',
    message: `the secret ${name} cannot be had: ${detail}`,
    remedy: 'Provide it to this process, or correct the reference in the configuration.',
    ...(cause === undefined ? {} : { cause }),
  });

const exposed = (path: string, mode: number) =>
  needsOperator({
    code: 'secret-exposed',
    message: `${path} holds a secret, but any user may read or change it (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
    remedy: `Run \`chmod 0600 ${path}\`, and replace the secret if others use this machine.`,
  });

/**
 * The payload keys, ready for `dataConverter`. A key is 32 raw bytes or their base64 or hex text.
 * Throws `encryption-missing` if the configuration has no such section, `payload-key-invalid`, or as `resolveReference`.
 */
export async function resolvePayloadKeys(
  encryption: EncryptionConfig | undefined,
  options: ResolveOptions = {},
): Promise<{ keys: { id: string; key: Uint8Array }[]; active: string }> {
  if (encryption === undefined) {
    throw needsOperator({
      code: 'encryption-missing',
      message: 'the configuration has no `encryption`, and vmferry stores nothing unencrypted',
      remedy:
        'Make a key (`openssl rand -base64 32 > /etc/vmferry/payload.key`, mode 0600) and name it under `encryption.keys` on every worker and client.',
    });
  }
  const keys = await Promise.all(
    encryption.keys.map(async ({ id, key }) => ({
      id,
      key: parseKey(await resolveReference(key, options), id),
    })),
  );
  return { keys, active: encryption.active };
}

function parseKey(secret: Buffer, id: string): Buffer {
  if (secret.length === keyBytes) return secret;
  const text = secret.toString('latin1').trim();
  if (/^[0-9A-Fa-f]{64}$/.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, 'base64');
  throw needsOperator({
    code: 'payload-key-invalid',
    message: `payload key ${id} is neither 32 bytes nor their base64 or hex text`,
    remedy: 'Make one with `openssl rand -base64 32`.',
  });
}
