/** Sessions in threads, against a real sshd of our own: each with its own bytes, errors and end. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../../../lab/wait.ts';
import type { SshLogin } from '../../../platforms/ssh/hops.ts';
import { leaveSeat, mostLaneThreads, takeSeat } from '../../../platforms/ssh/lane-pool.ts';
import { SshLane } from '../../../platforms/ssh/lane.ts';
import { SftpError, SftpErrorKind, SshError } from '../../../protocols/ssh/index.ts';
import { makeKey, startPrivateSshd } from './private-sshd.ts';
import type { KeyPair, PrivateSshd } from './private-sshd.ts';

const isHere = existsSync('/usr/sbin/sshd');
if (!isHere) console.warn('! No /usr/sbin/sshd here: lanes of SSH are NOT tried.');
const MIB = 1024 * 1024;
const passphrase = 'only for tests';

describe.skipIf(!isHere)('a lane of SSH', { timeout: 60_000 }, () => {
  const bytes = randomBytes(24 * MIB + 7);
  let dir: string;
  let file: string;
  let hostKey: KeyPair;
  let userKey: KeyPair;
  let lockedKey: KeyPair;
  let sshd: PrivateSshd;
  const lanes: SshLane[] = [];

  const start = (): Promise<PrivateSshd> =>
    startPrivateSshd({
      ...{ dir, hostKey, authorizedKeys: [userKey, lockedKey], password: 'not used' },
      config: ['Subsystem sftp internal-sftp'],
    });
  const laneTo = ({ host, port }: PrivateSshd, changes: Partial<SshLogin> = {}): SshLane => {
    const lane = new SshLane({
      ...{ host, port, username: 'root', hostKeySha256: hostKey.fingerprint },
      auth: { privateKey: userKey.privateKey },
      ...changes,
    });
    lanes.push(lane);
    return lane;
  };
  const refusal = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => 'nothing',
      (error: unknown) => error,
    );
  const shared = (length: number) => new Uint8Array(new SharedArrayBuffer(length));

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/vmferry-lanes-');
    file = join(dir, 'bytes');
    await writeFile(file, bytes);
    hostKey = await makeKey(join(dir, 'host-key'));
    userKey = await makeKey(join(dir, 'user-key'));
    lockedKey = await makeKey(join(dir, 'locked-key'), passphrase);
    sshd = await start();
  });
  afterEach(async () => {
    for (const lane of lanes.splice(0)) await lane.close();
  });
  afterAll(async () => {
    await sshd.kill();
    await rm(dir, { recursive: true, force: true });
  });

  it('fills many buffers at once, shared ones and others', async () => {
    const some = [laneTo(sshd), laneTo(sshd), laneTo(sshd)];
    const stamps = await Promise.all(
      Array.from({ length: 12 }, async (_, at) => {
        const into = at % 3 === 0 ? new Uint8Array(2 * MIB + 7) : shared(2 * MIB + 7);
        const stamp = await some[at % 3]!.read(file, { offset: at * 2 * MIB, into });
        const wanted = bytes.subarray(at * 2 * MIB, at * 2 * MIB + into.length);
        expect(Buffer.from(into).equals(wanted)).toBe(true);
        return stamp;
      }),
    );
    const stamp = await some[0]!.stat(file);
    expect(stamp.sizeBytes).toBe(bytes.length);
    expect(stamps).toEqual(stamps.map(() => stamp));
  });

  it('logs in with a key whose passphrase is asked for here', async () => {
    const { privateKey } = lockedKey;
    const auth = { privateKey, passphrase: () => Promise.resolve(passphrase) };
    expect((await laneTo(sshd, { auth }).stat(file)).sizeBytes).toBe(bytes.length);
  });

  it('says as SFTP does what it cannot read, and reads on', async () => {
    const lane = laneTo(sshd);
    const error = await refusal(lane.read(`${file}-not`, { offset: 0, into: shared(512) }));
    expect(error).toBeInstanceOf(SftpError);
    expect(error).toMatchObject({ kind: SftpErrorKind.missing });
    const beyond = { offset: bytes.length - 1, into: shared(2) };
    expect(await refusal(lane.read(file, beyond))).toMatchObject({ kind: SftpErrorKind.failed });
    expect((await lane.stat(file)).sizeBytes).toBe(bytes.length);
  });

  it('does not log in where the host key is another', async () => {
    const hostKeySha256 = `SHA256:${'A'.repeat(43)}`;
    const error = await refusal(laneTo(sshd, { hostKeySha256 }).stat(file));
    expect(error).toBeInstanceOf(SshError);
    const seen = hostKey.fingerprint;
    expect(error).toMatchObject({ kind: 'host-key-mismatch', expected: hostKeySha256, seen });
  });

  it('goes through a host in between', async () => {
    const { host, port } = sshd;
    const via = { host, port, username: 'root', hostKeySha256: hostKey.fingerprint };
    const auth = { privateKey: userKey.privateKey };
    const into = shared(3 * MIB);
    await laneTo(sshd, { via: { ...via, auth } }).read(file, { offset: 1, into });
    expect(Buffer.from(into).equals(bytes.subarray(1, 1 + into.length))).toBe(true);
  });

  it('is lost with its server in the middle of a read, and unreachable after that', async () => {
    const passing = await start();
    const lane = laneTo(passing);
    await lane.stat(file);
    const intos = Array.from({ length: 6 }, () => shared(4 * MIB));
    const reads = intos.map((into, at) => refusal(lane.read(file, { offset: at * MIB, into })));
    await passing.kill();
    const errors = await Promise.all(reads);
    for (const error of errors) if (error !== 'nothing') expect(error).toBeInstanceOf(SshError);
    expect(errors.at(-1)).toMatchObject({ kind: 'lost' });
    expect(await refusal(lane.stat(file))).toMatchObject({ kind: 'unreachable' });
  });

  it('fails as lost with its thread in the middle of a read, and goes on in another one', async () => {
    const lane = laneTo(sshd);
    await lane.stat(file);
    const reads = Array.from({ length: 8 }, (_, at) =>
      refusal(lane.read(file, { offset: at * MIB, into: shared(8 * MIB) })),
    );
    const seats = Array.from({ length: 2 * mostLaneThreads }, takeSeat);
    await Promise.all(seats.map(({ thread }) => thread.end()));
    const last = (await Promise.all(reads)).at(-1);
    expect(last).toBeInstanceOf(SshError);
    expect(last).toMatchObject({ kind: 'lost' });
    const into = shared(MIB);
    await lane.read(file, { offset: MIB, into });
    expect(Buffer.from(into).equals(bytes.subarray(MIB, 2 * MIB))).toBe(true);
  });

  it('ends reads that are under way when it is closed', async () => {
    const lane = laneTo(sshd);
    await lane.stat(file);
    const reads = Array.from({ length: 8 }, (_, at) =>
      refusal(lane.read(file, { offset: at * MIB, into: shared(8 * MIB) })),
    );
    await lane.close();
    const ended = await Promise.all(reads);
    for (const error of ended) if (error !== 'nothing') expect(error).toBeInstanceOf(SshError);
  });

  it('leaves no thread behind the last one', async () => {
    const lane = laneTo(sshd);
    await lane.stat(file);
    const seats = Array.from({ length: 2 * mostLaneThreads }, takeSeat);
    const threads = new Set(seats.map(({ thread }) => thread));
    expect(threads.size).toBe(mostLaneThreads);
    await lane.close();
    for (const seat of seats) leaveSeat(seat, 0);
    const isOver = () => Promise.resolve([...threads].every(({ isLost }) => isLost));
    await waitUntil(isOver, { what: 'the end of the threads', timeoutMs: 30_000, everyMs: 100 });
  });
});
