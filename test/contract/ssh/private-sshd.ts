/** A real sshd of a test's own on loopback, with its own keys and passwords. Needs root. */
import { execFile, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);
const START_LIMIT_MS = 10_000;

/** A key pair; the public part is `<file>.pub`. */
export interface KeyPair {
  readonly file: string;
  readonly privateKey: string;
  /** As `ssh-keygen -lf` prints it, `SHA256:` included. */
  readonly fingerprint: string;
}

/** Makes a key pair as a person would. */
export async function makeKey(file: string, passphrase = ''): Promise<KeyPair> {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', passphrase, '-C', 'test', '-f', file]);
  const { stdout } = await run('ssh-keygen', ['-lf', `${file}.pub`]);
  const fingerprint = stdout.split(' ')[1]!;
  return { file, privateKey: await readFile(file, 'utf8'), fingerprint };
}

/** Where a private sshd listens and how to end it. */
export interface PrivateSshd {
  readonly host: string;
  readonly port: number;
  /** Ends it and every session of it, as a crash would. */
  kill(): Promise<void>;
}

/** Somebody else could take it before sshd does, but on this loopback nobody does. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** How to start one. */
export interface PrivateSshdOptions {
  /** An absolute folder for its files; made if it is not there. */
  readonly dir: string;
  readonly hostKey: KeyPair;
  /** Whom root lets in. */
  readonly authorizedKeys: readonly KeyPair[];
  /** Root's password, inside only. */
  readonly password: string;
  /** More lines for sshd_config; the first word on a matter counts. */
  readonly config?: readonly string[];
}

/** Starts one; resolves when it takes connections. */
export async function startPrivateSshd(options: PrivateSshdOptions): Promise<PrivateSshd> {
  const { dir, hostKey, authorizedKeys, password, config = [] } = options;
  await mkdir(dir, { recursive: true });
  const port = await freePort();
  const keys = await Promise.all(authorizedKeys.map(({ file }) => readFile(`${file}.pub`, 'utf8')));
  await writeFile(join(dir, 'authorized_keys'), keys.join(''));
  const lines = [
    ...config,
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKey.file}`,
    `AuthorizedKeysFile ${dir}/authorized_keys`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PermitRootLogin yes',
    'AllowStreamLocalForwarding yes',
  ];
  await writeFile(join(dir, 'sshd_config'), `${lines.join('\n')}\n`);
  const boot = join(import.meta.dirname, 'boot-private-sshd.sh');
  // The machine's /proc stays: sockets of other namespaces are reached through it.
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child'];
  const sshd = spawn('unshare', [...namespaces, '--', 'bash', boot, dir, password], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const gone = new Promise<void>((resolve) => sshd.once('close', () => resolve()));
  const kill = async (): Promise<void> => {
    // Its child is sshd, which unshare then reaps; killed itself, it would leave a zombie behind.
    const pid = sshd.pid ?? 0;
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    if (sshd.exitCode === null && Number(children) > 1) process.kill(Number(children), 'SIGKILL');
    else sshd.kill('SIGKILL');
    await gone;
  };
  const log: string[] = [];
  const listening = Promise.withResolvers<undefined>();
  const fail = (what: string): void =>
    listening.reject(new Error(`sshd ${what}: ${log.join('\n')}`));
  createInterface({ input: sshd.stderr }).on('line', (line) => {
    log.push(line);
    if (line.startsWith('Server listening')) listening.resolve(undefined);
  });
  sshd.once('close', () => fail('ended before it was ready'));
  const timer = setTimeout(() => fail(`was not ready in ${START_LIMIT_MS} ms`), START_LIMIT_MS);
  try {
    await listening.promise;
    return { host: '127.0.0.1', port, kill };
  } catch (error) {
    await kill();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
