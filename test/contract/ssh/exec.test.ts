/** Commands and files of a real sshd. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand, SftpError, SshError, SshSession } from '../../../protocols/ssh/index.ts';
import { makeKey, startPrivateSshd } from './private-sshd.ts';
import type { KeyPair, PrivateSshd } from './private-sshd.ts';

const sshdIsHere = existsSync('/usr/sbin/sshd');
if (!sshdIsHere) console.warn('! No /usr/sbin/sshd here: commands over SSH are NOT tried.');

let dir: string;
let sshd: PrivateSshd;
let hostKey: KeyPair;
let userKey: KeyPair;
let session: SshSession;

const open = (to: PrivateSshd): Promise<SshSession> =>
  SshSession.open({
    host: to.host,
    port: to.port,
    username: 'root',
    auth: { privateKey: userKey.privateKey },
    hostKey: { sha256: hostKey.fingerprint },
  });
/** Root's own start-up files may run anything, for seconds. */
const bareHome = 'SetEnv HOME=/nonexistent';
const start = (name: string, config: readonly string[] = []): Promise<PrivateSshd> =>
  startPrivateSshd({
    dir: join(dir, name),
    hostKey,
    authorizedKeys: [userKey],
    password: 'unused',
    config: ['Subsystem sftp internal-sftp', bareHome, ...config],
  });

beforeAll(async () => {
  if (!sshdIsHere) return;
  dir = await mkdtemp(join(tmpdir(), 'vmfe-'));
  hostKey = await makeKey(join(dir, 'host'));
  userKey = await makeKey(join(dir, 'user'));
  sshd = await start('sshd');
  session = await open(sshd);
});
afterAll(async () => {
  if (!sshdIsHere) return;
  await session.close();
  await sshd.kill();
  await rm(dir, { recursive: true, force: true });
});

const failure = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe.skipIf(!sshdIsHere)('a command over SSH', () => {
  it('gives output, complaint and exit code, and takes arguments as they are', async () => {
    const script = 'printf "[%s]" "$@"; echo no >&2; exit 3';
    const result = await runCommand(session, ['sh', '-c', script, 'sh', 'a b', "c'd", '$HOME']);
    expect(result).toEqual({
      exitCode: 3,
      signal: undefined,
      stdout: "[a b][c'd][$HOME]",
      stderr: 'no\n',
    });
  });

  it('feeds input and tells of a signal', async () => {
    const echoed = await runCommand(session, ['cat'], { input: 'through\n' });
    expect(echoed).toMatchObject({ stdout: 'through\n', exitCode: 0 });
    const killed = await runCommand(session, ['sh', '-c', 'kill -9 $$']);
    expect(killed).toMatchObject({ exitCode: undefined, signal: 'KILL' });
  });

  it('tells of a program that is not there by the shell its code', async () => {
    expect(await runCommand(session, ['no-such-program'])).toMatchObject({ exitCode: 127 });
  });

  it('keeps the exit code where the output ends before the program does', async () => {
    const script = 'echo early; exec >&-; sleep 0.2; exit 7';
    expect(await runCommand(session, ['sh', '-c', script])).toMatchObject({
      stdout: 'early\n',
      exitCode: 7,
    });
  });

  it('bounds what is said and how long it takes', async () => {
    const flood = await failure(runCommand(session, ['yes'], { maxOutputBytes: 100_000 }));
    expect(flood).toMatchObject({ name: 'SshError', kind: 'invalid' });
    const slow = runCommand(session, ['sleep', '3'], { timeoutMs: 1_000 });
    expect(await failure(slow)).toMatchObject({ name: 'SshError', kind: 'timeout' });
  });

  it('ends by the end of its input when its channel is destroyed', async () => {
    // The number is that of sshd's own namespace, so the server is asked.
    const command = await session.openCommand('echo $$; exec cat');
    const [said] = (await once(command, 'data')) as [Buffer];
    const pid = said.toString().trim();
    expect(pid).toMatch(/^\d+$/);
    command.destroy();
    await expect
      .poll(async () => (await runCommand(session, ['kill', '-0', pid])).exitCode)
      .not.toBe(0);
  });

  it('gives more output than a window holds, whole', async () => {
    const bytes = 5 * 1024 * 1024;
    const result = await runCommand(session, ['head', '-c', String(bytes), '/dev/zero'], {
      maxOutputBytes: bytes,
    });
    expect(result.stdout).toHaveLength(bytes);
  });

  it('is rejected as lost when the server dies under it', async () => {
    const doomed = await start('doomed');
    const victim = await open(doomed);
    const command = await victim.openCommand('echo up; exec sleep 1000');
    const lost = failure(runCommand(victim, ['sleep', '1000']));
    command.on('error', () => undefined);
    await new Promise((resolve) => command.once('data', resolve));
    await doomed.kill();
    expect(await lost).toMatchObject({ name: 'SshError', kind: 'lost' });
    expect(await command.ended).toMatchObject({ exitCode: undefined, signal: undefined });
    await victim.close();
  });

  it('is refused where a session may hold no more', async () => {
    const one = await start('one', ['MaxSessions 1']);
    const narrow = await open(one);
    const first = await narrow.openCommand('exec cat');
    first.on('error', () => undefined).resume();
    expect(await failure(narrow.openCommand('true'))).toMatchObject({ kind: 'refused' });
    await narrow.close();
    await one.kill();
  });

  it('that is kept open ends when its input is ended, and tells so', async () => {
    const kept = await session.openCommand('exec cat');
    kept.resume().end('some input');
    expect(await kept.ended).toMatchObject({ exitCode: 0 });
  });
});

describe.skipIf(!sshdIsHere)('files over SFTP', () => {
  it('are read by ranges, many at once', async () => {
    const content = randomBytes(3 * 1024 * 1024 + 77);
    await writeFile(join(dir, 'disk'), content);
    const sftp = await session.openSftp();
    expect(await sftp.stat(join(dir, 'disk'))).toMatchObject({
      sizeBytes: content.length,
      isFile: true,
    });
    const file = await sftp.open(join(dir, 'disk'));
    const ranges = [
      [0, content.length],
      [5, 1_000_001],
      [content.length - 3, 3],
    ] as const;
    await Promise.all(
      ranges.map(async ([offset, length]) => {
        const into = new Uint8Array(length);
        await file.read(offset, into);
        expect(Buffer.compare(into, content.subarray(offset, offset + length))).toBe(0);
      }),
    );
    await expect(file.read(content.length - 3, new Uint8Array(4))).rejects.toThrow(/ends before/);
    await file.close();
    sftp.destroy();
  });

  it('tell what is missing from what is denied, and end with the session', async () => {
    const sftp = await session.openSftp();
    const missing = await failure(sftp.open(join(dir, 'nothing')));
    expect(missing).toBeInstanceOf(SftpError);
    expect(missing).toMatchObject({ kind: 'missing' });
    sftp.destroy();
    expect(await failure(sftp.stat(dir))).toBeInstanceOf(SshError);
  });

  it('are refused where the server has no SFTP', async () => {
    const bare = await startPrivateSshd({
      dir: join(dir, 'bare'),
      hostKey,
      authorizedKeys: [userKey],
      password: 'unused',
    });
    const plain = await open(bare);
    expect(await failure(plain.openSftp())).toMatchObject({ name: 'SshError', kind: 'refused' });
    await plain.close();
    await bare.kill();
  });
});
