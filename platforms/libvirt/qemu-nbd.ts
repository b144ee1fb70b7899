/** Arguments of qemu-nbd, its start as a child without a shell, and what its complaints mean. */
import { spawn } from 'node:child_process';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { needsOperator, permanent, transient, unsafe } from '../../domain/errors.ts';
import type { VmFerryError } from '../../domain/errors.ts';
import { startTimeOf, within } from './process.ts';
import type { ProcessIdentity } from './process.ts';
import { imageArguments, withSecret } from './served-image.ts';
import type { ReadSecret, ServedImage } from './served-image.ts';

/** A running server, and the end of its life should it come soon. */
export interface StartedServer {
  identity: ProcessIdentity;
  /** Resolves once it has exited, with the last of what it said on stderr. */
  exited: Promise<string>;
}

/** How much of a complaint is read, bytes. */
const maxComplaintBytes = 4096;

export interface StartOptions {
  /** qemu-nbd, or a program with its arguments that becomes it. */
  command: readonly [string, ...string[]];
  arguments: readonly string[];
  image: ServedImage;
  /** Asked for the secret of a network disk that has one. */
  readSecret?: ReadSecret;
  /** Gets its PID once it serves; see `isReady`. */
  pidPath: string;
  /** Gets its stderr; emptied first. A pipe would end with the worker, and the server with the pipe. */
  logPath: string;
  /** Whether it may outlive this process, in a session of its own. */
  detached: boolean;
  host: string;
}

/** Starts a server; it is not ready yet. Throws `program-missing`, `export-failed`, `secret-unreadable`. */
export async function startServer(options: StartOptions): Promise<StartedServer> {
  return withSecret(options.image, options, async (secret) => startWith(options, secret));
}

async function startWith(
  options: StartOptions,
  secret: number | undefined,
): Promise<StartedServer> {
  const { pidPath, logPath, detached, host, image } = options;
  const [program, ...first] = options.command;
  const served = imageArguments(image, host);
  const args = [...first, `--pid-file=${pidPath}`, ...options.arguments, ...served];
  await mkdir(dirname(logPath), { recursive: true, mode: 0o700 });
  // A new file for each start: an older server may still write to the old one.
  await rm(logPath, { force: true });
  await rm(pidPath, { force: true });
  const log = await open(logPath, 'ax+', 0o600);
  try {
    const child = spawn(program, args, {
      detached,
      cwd: '/',
      stdio: ['ignore', 'ignore', log.fd, ...(secret === undefined ? [] : [secret])],
    });
    const exited = new Promise<string>((resolve) => {
      child.once('exit', () => resolve(complaintIn(logPath)));
    });
    await new Promise((resolve, reject) => {
      child.once('spawn', () => resolve(undefined));
      child.once('error', (error) => reject(cannotRun(program, host, error)));
    });
    if (detached) child.unref();
    const { pid } = child;
    const startTime = pid === undefined ? undefined : startTimeOf(pid);
    if (pid === undefined || startTime === undefined) {
      throw faultOf(await exited, { host, path: image.path });
    }
    return { identity: { pid, startTime }, exited };
  } catch (error) {
    // It never came up, so nobody will end it and clear up after it; its last words are in the error.
    await rm(logPath, { force: true });
    await rm(pidPath, { force: true });
    throw error;
  } finally {
    await log.close();
  }
}

/**
 * Whether a server serves its image. That it listens says little: qemu-nbd 7.2 listens before it opens the image,
 * and writes its PID only once both are done.
 */
export async function isReady(pid: number, pidPath: string): Promise<boolean> {
  const text = await readFile(pidPath, 'utf8').catch(() => '');
  return text.trim() === String(pid);
}

/** Resolves once the server is ready; throws what its complaint means if it ends first, or `export-slow`. */
export async function untilReady(
  server: StartedServer,
  options: { pidPath: string; timeoutMs: number; host: string; path: string },
  signal?: AbortSignal,
): Promise<void> {
  const { pidPath, timeoutMs, host, path } = options;
  let complaint: string | undefined;
  void server.exited.then((text) => (complaint = text));
  const ready = await within(
    timeoutMs,
    async () => complaint !== undefined || (await isReady(server.identity.pid, pidPath)),
    signal,
  );
  if (complaint !== undefined) throw faultOf(complaint, { host, path });
  if (ready) return;
  throw transient({
    code: 'export-slow',
    message: `qemu-nbd on ${host} did not begin to serve ${path} within ${timeoutMs / 1000} s`,
    remedy: 'It is tried again. If it stays so, look at the load and the storage of the host.',
    host,
  });
}

async function complaintIn(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxComplaintBytes), 0);
    return buffer.subarray(0, bytesRead).toString().trim().replaceAll(/\s+/g, ' ');
  } finally {
    await file.close();
  }
}

/** The code of a fault that another port may mend. */
export const portTaken = 'port-taken';

/** What qemu-nbd's last words mean (texts of QEMU 7.2). */
export function faultOf(complaint: string, where: { host: string; path?: string }): VmFerryError {
  const { host, path = 'the disk' } = where;
  const words = complaint === '' ? 'it said nothing' : complaint;
  if (/Address already in use|Failed to find an available port/.test(complaint)) {
    return transient({
      code: portTaken,
      message: `a port for the export of ${path} on ${host} was taken`,
      remedy: 'Another port is tried.',
      host,
    });
  }
  if (/Failed to get (?:shared )?".*" lock/.test(complaint)) {
    return unsafe({
      code: 'disk-in-use',
      message: `another process uses ${path} on ${host}: ${words}`,
      remedy: `Find it with \`fuser -v ${path}\` on ${host} and end it, if it must not write; then start the move again.`,
      host,
    });
  }
  // Certificates may be missing as well; only this function opens the image.
  if (/blk_new_open.*No such file or directory/.test(complaint)) {
    return permanent({
      code: 'disk-missing',
      message: `${host} has no ${path}: ${words}`,
      remedy: 'Correct the path of the disk in the definition, or bring the file back.',
      host,
    });
  }
  if (
    /Unable to access credentials|\b(?:the|own|server|client|CA) certificate\b/i.test(complaint)
  ) {
    return needsOperator({
      code: 'source-tls-refused',
      message: `${host} cannot show ${path} over TLS: ${words}`,
      remedy: `Give ${host} a certificate of the fleet's CA, valid now and under its name; then start the move again, or \`vmferry retry\` if it is parked.`,
      host,
    });
  }
  return needsOperator({
    code: 'export-failed',
    message: `qemu-nbd on ${host} cannot serve ${path}: ${words}`,
    remedy: 'Mend what qemu-nbd names (certificates, address, permissions), then `vmferry retry`.',
    host,
  });
}

const cannotRun = (program: string, host: string, cause: NodeJS.ErrnoException): VmFerryError =>
  needsOperator({
    code: 'program-missing',
    message: `${program} cannot be run on ${host}: ${cause.message}`,
    remedy: 'Install it (Debian: qemu-utils), then `vmferry retry`.',
    host,
    cause,
  });
