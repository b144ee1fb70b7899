/** Volumes through streams of a real libvirtd: what goes up comes down, holes and all. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open as openFile, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CallAborted,
  Connection,
  ConnectionLost,
  downloadVolume,
  LibvirtError,
  ProtocolError,
  uploadVolume,
} from '../../../protocols/libvirt/index.ts';
import type {
  PoolRef,
  StreamChunk,
  VolumeRef,
  VolumeStreamOptions,
} from '../../../protocols/libvirt/index.ts';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';

const MIB = 1024 * 1024;
let dir: string;
let host: PrivateLibvirtd;
let connection: Connection;
let pool: PoolRef;

const data = (bytes: Uint8Array): StreamChunk => ({ kind: 'data', bytes });
const hole = (lengthBytes: number): StreamChunk => ({ kind: 'hole', lengthBytes });
const pathOf = (name: string): string => join(dir, 'pool', name);

const connect = (): Promise<Connection> =>
  Connection.open({ unixPath: host.unixPath, uri: 'qemu:///system' });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmfp-'));
  await mkdir(join(dir, 'pool'));
  // The daemon counts a client as dead after 2 s of silence: a reader that pauses must still be heard.
  const config = ['keepalive_interval = 1', 'keepalive_count = 1'];
  host = await startPrivateLibvirtd({ dir: join(dir, 'host'), config });
  connection = await connect();
  const target = `<target><path>${join(dir, 'pool')}</path></target>`;
  const xml = `<pool type='dir'><name>streams</name>${target}</pool>`;
  ({ pool } = await connection.call('StoragePoolCreateXML', { xml }));
});

afterAll(async () => {
  await connection.close();
  await host.stop();
  await rm(dir, { recursive: true, force: true });
});

async function makeVolume(
  name: string,
  capacityBytes: number,
  into: PoolRef = pool,
): Promise<VolumeRef> {
  const sizes = `<capacity>${capacityBytes}</capacity><allocation>0</allocation>`;
  const xml = `<volume><name>${name}</name>${sizes}<target><format type='raw'/></target></volume>`;
  return (await connection.call('StorageVolCreateXML', { pool: into, xml })).vol;
}

/** All bytes of a stream with zeros for holes, as a digest, and how much of it was which. */
async function digestOf(chunks: AsyncIterable<StreamChunk>) {
  const hash = createHash('sha256');
  const [totals, last] = [{ dataBytes: 0, holeBytes: 0 }, { kind: '' }];
  for await (const chunk of chunks) {
    last.kind = chunk.kind;
    if (chunk.kind === 'data') {
      hash.update(chunk.bytes);
      totals.dataBytes += chunk.bytes.length;
      continue;
    }
    totals.holeBytes += chunk.lengthBytes;
    for (let left = chunk.lengthBytes; left > 0; left -= MIB) {
      hash.update(Buffer.alloc(Math.min(left, MIB)));
    }
  }
  return { digest: hash.digest('hex'), ...totals, last: last.kind };
}
const fileDigest = async (name: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(pathOf(name)))
    .digest('hex');
const download = (vol: VolumeRef, options?: VolumeStreamOptions) =>
  digestOf(downloadVolume(connection, vol, options));
const failureOf = async <T>(promise: Promise<unknown>, type: new (...args: never[]) => T) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(type);
  return error as T;
};

describe('a volume that goes up and comes down', () => {
  it('is the same, and its holes take no space on the way nor at the end', async () => {
    const vol = await makeVolume('sparse', 40 * MIB);
    const [first, second] = [randomBytes(3 * MIB), randomBytes(MIB)];
    const sent = [data(first), hole(20 * MIB), data(second), hole(16 * MIB)];
    const totals = await uploadVolume(connection, vol, sent);
    expect(totals).toEqual({ dataBytes: 4 * MIB, holeBytes: 36 * MIB });
    const back = await download(vol);
    expect(back).toMatchObject({ dataBytes: 4 * MIB, holeBytes: 36 * MIB, last: 'hole' });
    expect(back.digest).toBe(await fileDigest('sparse'));
    const { size, blocks } = await stat(pathOf('sparse'));
    expect(size).toBe(40 * MIB);
    expect(blocks * 512).toBeLessThan(6 * MIB);
  });

  it('is the same without holes in the protocol', async () => {
    const vol = await makeVolume('plain', 2 * MIB);
    const bytes = randomBytes(2 * MIB);
    await uploadVolume(connection, vol, [data(bytes)], { sparse: false });
    const back = await download(vol, { sparse: false });
    expect(back).toMatchObject({ dataBytes: 2 * MIB, holeBytes: 0 });
    expect(back.digest).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('may be empty, and may end in a single byte', async () => {
    const empty = await makeVolume('empty', 0);
    expect(await download(empty)).toMatchObject({ dataBytes: 0, holeBytes: 0 });
    const vol = await makeVolume('tail', MIB + 1);
    await uploadVolume(connection, vol, [hole(MIB), data(Buffer.from('x'))]);
    const back = await download(vol);
    expect(back.dataBytes + back.holeBytes).toBe(MIB + 1);
    expect(back).toMatchObject({ last: 'data', digest: await fileDigest('tail') });
    expect(await download(vol, { offsetBytes: MIB })).toMatchObject({ dataBytes: 1, holeBytes: 0 });
    const part = await download(vol, { offsetBytes: MIB - 10, lengthBytes: 5 });
    expect(part.dataBytes + part.holeBytes).toBe(5);
  });

  it('keeps what it had where a hole goes: libvirt skips, it does not erase', async () => {
    const vol = await makeVolume('used', 2 * MIB);
    await uploadVolume(connection, vol, [data(Buffer.alloc(2 * MIB, 7))]);
    await uploadVolume(connection, vol, [hole(MIB), data(Buffer.alloc(MIB, 8))]);
    const bytes = await readFile(pathOf('used'));
    expect([bytes.length, bytes[0], bytes[2 * MIB - 1]]).toEqual([2 * MIB, 7, 8]);
  });
});

describe('a stream that is given up', () => {
  it('downwards lets go of the volume, however it is given up', async () => {
    const vol = await makeVolume('left', 64 * MIB);
    await uploadVolume(connection, vol, [data(Buffer.alloc(64 * MIB, 1))]);
    for await (const chunk of downloadVolume(connection, vol)) {
      expect(chunk.kind).toBe('data');
      break;
    }
    const stop = new AbortController();
    const reading = async (): Promise<void> => {
      for await (const { kind } of downloadVolume(connection, vol, { signal: stop.signal })) {
        stop.abort(new Error(kind));
      }
    };
    const error = await failureOf(reading(), CallAborted);
    expect(error.outcomeUnknown).toBe(false);
    await connection.call('StorageVolDelete', { vol });
  });

  it('upwards lets go of the volume; the source of pieces is told', async () => {
    const vol = await makeVolume('half', 8 * MIB);
    let released = false;
    const stop = new AbortController();
    const pieces = async function* (): AsyncGenerator<StreamChunk> {
      try {
        yield data(Buffer.alloc(MIB, 1));
        stop.abort(new Error('enough'));
        await new Promise(() => undefined);
      } finally {
        released = true;
      }
    };
    const uploading = uploadVolume(connection, vol, pieces(), { signal: stop.signal });
    expect((await failureOf(uploading, CallAborted)).outcomeUnknown).toBe(true);
    const broken = function* (): Generator<StreamChunk> {
      try {
        yield data(Buffer.alloc(10));
        throw new Error('the source broke');
      } finally {
        released = true;
      }
    };
    await expect(uploadVolume(connection, vol, broken())).rejects.toThrow('the source broke');
    expect(released).toBe(true);
    await connection.call('StorageVolDelete', { vol });
  });
});

describe('what the daemon refuses', () => {
  it('is told when the stream opens, or as soon as it shows', async () => {
    const vol = await makeVolume('small', MIB);
    const lost = { ...vol, name: 'nowhere' };
    const gone = await failureOf(download(lost), LibvirtError);
    expect(gone.codeName).toBe('NO_STORAGE_VOL');
    const tight = join(dir, 'tight');
    await mkdir(tight);
    await host.exec('mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', tight);
    const xml = `<pool type='dir'><name>tight</name><target><path>${tight}</path></target></pool>`;
    const full = await connection.call('StoragePoolCreateXML', { xml });
    const roomless = await makeVolume('roomless', 16 * MIB, full.pool);
    const endless = function* (): Generator<StreamChunk> {
      for (;;) yield data(Buffer.alloc(MIB, 1));
    };
    const error = await failureOf(uploadVolume(connection, roomless, endless()), LibvirtError);
    expect(error).toMatchObject({ procedure: 'StorageVolUpload', codeName: 'SYSTEM_ERROR' });
    expect(error.message).toMatch(/No space left/);
    // The connection and the volume are none the worse for it.
    expect(await download(vol)).toMatchObject({ dataBytes: 0, holeBytes: MIB });
  });
});

describe('a stream of a stated length', () => {
  it('is held to it here, since libvirt 9.0 drops what is too much and calls that a success', async () => {
    const vol = await makeVolume('stated', MIB);
    const four = [data(Buffer.alloc(4096, 5))];
    const beyond = uploadVolume(connection, vol, four, { lengthBytes: 1024 });
    expect((await failureOf(beyond, ProtocolError)).message).toMatch(/more than the 1024/);
    const short = uploadVolume(connection, vol, four, { lengthBytes: 8192 });
    expect((await failureOf(short, ProtocolError)).message).toMatch(/4096 of 8192/);
    const past = download(vol, { offsetBytes: MIB - 10, lengthBytes: 20 });
    await expect(past).rejects.toThrow();
  });
});

it('a reader that pauses past the keep-alive of both sides finds the rest', async () => {
  const vol = await makeVolume('slow', 24 * MIB);
  await uploadVolume(connection, vol, [data(Buffer.alloc(24 * MIB, 3))]);
  await using own = await Connection.open({
    unixPath: host.unixPath,
    uri: 'qemu:///system',
    keepAlive: { intervalMs: 300, count: 2 },
  });
  let bytes = 0;
  for await (const chunk of downloadVolume(own, vol)) {
    // Longer than the daemon's 2 s and this side's 1.2 s: time itself is what is waited for.
    if (bytes === 0) await delay(3500);
    if (chunk.kind === 'data') bytes += chunk.bytes.length;
  }
  expect(bytes).toBe(24 * MIB);
});

it('a daemon that dies in mid-stream is an error at once, both ways', async () => {
  const vol = await makeVolume('doomed', 512 * MIB);
  const target = await makeVolume('doomed-too', 512 * MIB);
  const file = await openFile(pathOf('doomed'), 'r+');
  await file.write(Buffer.alloc(MIB, 9), 0, MIB, 400 * MIB);
  await file.close();
  const [down, up] = [await connect(), await connect()];
  const stuck = Promise.withResolvers<undefined>();
  const pieces = async function* (): AsyncGenerator<StreamChunk> {
    yield data(Buffer.alloc(MIB));
    stuck.resolve(undefined);
    await new Promise(() => undefined);
  };
  const begun = Date.now();
  const uploading = failureOf(uploadVolume(up, target, pieces()), ConnectionLost);
  await stuck.promise;
  const reading = async (): Promise<void> => {
    for await (const { kind } of downloadVolume(down, vol, { sparse: false })) {
      if (kind === 'data') await killOnce();
    }
  };
  let killed: Promise<void> | undefined;
  const killOnce = (): Promise<void> => (killed ??= host.killDaemon());
  const read = await failureOf(reading(), ConnectionLost);
  expect(read).toMatchObject({ outcomeUnknown: false, procedure: 'StorageVolDownload' });
  expect(await uploading).toMatchObject({ outcomeUnknown: true, procedure: 'StorageVolUpload' });
  expect(Date.now() - begun).toBeLessThan(15_000);
});
