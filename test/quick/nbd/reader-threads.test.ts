import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { NbdReaders } from '../../../protocols/nbd/index.ts';
import { FakeServer, wire, type FakeServerOptions, type Request } from './fake-server.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const severalConnections = 1 << 8;
const look = {
  sizeBytes: 1 << 20,
  canMultiConn: true,
  blockSize: { minimum: 1, preferred: 4096, maximum: 32 * 1024 * 1024 },
};

const pattern = (offset: number, length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, index) => (offset + index) % 251));

const honest = ({ type, cookie, offset, length }: Request): Buffer =>
  type === 0
    ? wire.chunk(cookie, 1, wire.data(offset, pattern(offset, length)))
    : wire.simple(cookie);

const open = async (
  script: FakeServerOptions,
  signal?: AbortSignal,
): Promise<{ readers: NbdReaders; server: FakeServer }> => {
  const server = await FakeServer.start({ flags: severalConnections, ...script });
  closers.push(() => server.stop());
  const options = { address: { path: server.path }, abortGraceMs: 5000 };
  const readers = await NbdReaders.open(options, { count: 2, look, signal });
  closers.push(() => readers.close());
  return { readers, server };
};

const shared = (length: number) => new Uint8Array(new SharedArrayBuffer(length));

describe('readers on threads', () => {
  it('fill shared memory over a connection each, and hash it on demand', async () => {
    const { readers, server } = await open({ onCommand: honest });
    const intos = [0, 1, 2, 3].map(() => shared(5000));
    const digests = await Promise.all(
      intos.map((into, at) => readers.read({ offset: at * 5000, into, hashed: at > 0 })),
    );
    intos.forEach((into, at) => {
      const expected = pattern(at * 5000, 5000);
      expect(Buffer.from(into).equals(expected)).toBe(true);
      const digest = createHash('sha256').update(expected).digest();
      expect(digests[at]).toEqual(at > 0 ? Uint8Array.from(digest) : undefined);
    });
    expect(server.connections).toBe(2);
  });

  it('pass on what the server says of one read, and go on with the next', async () => {
    const { readers } = await open({
      onCommand: (request) =>
        request.offset === 0
          ? wire.chunk(request.cookie, 0x8001, wire.error(5, 'bad sector'))
          : honest(request),
    });
    const bad = readers.read({ offset: 0, into: shared(512), hashed: true });
    await expect(bad).rejects.toMatchObject({ name: 'NbdError', kind: 'server', errno: 'EIO' });
    await readers.read({ offset: 512, into: shared(512), hashed: true });
  });

  it('reject an aborted read only when its answer is in, since the buffer is in use until then', async () => {
    const asked = Promise.withResolvers<() => void>();
    const { readers } = await open({
      onCommand: (request, socket) => {
        asked.resolve(() => socket.write(honest(request)));
        return undefined;
      },
    });
    const abort = new AbortController();
    const into = shared(512);
    let settled = false;
    const read = readers.read({ offset: 0, into, hashed: false }, abort.signal);
    const end = read.catch((error: unknown) => error).finally(() => (settled = true));
    const answer = await asked.promise;
    abort.abort();
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toBe(false);
    answer();
    expect(await end).toMatchObject({ kind: 'aborted' });
  });

  it('reject all that is under way when the server goes', async () => {
    const asked = Promise.withResolvers<undefined>();
    const { readers, server } = await open({
      onCommand: () => {
        asked.resolve(undefined);
        return undefined;
      },
    });
    const ends = [0, 1].map((at) =>
      readers.read({ offset: at, into: shared(8), hashed: true }).catch((error: unknown) => error),
    );
    await asked.promise;
    server.dropAll();
    for (const end of ends) expect(await end).toMatchObject({ kind: 'closed' });
  });

  it('refuse a server that shows another disk the second time', async () => {
    await expect(open({ sizeBytes: 4096 })).rejects.toMatchObject({ kind: 'protocol' });
  });

  it('stop connecting when told', async () => {
    const abort = new AbortController();
    const opening = open({ onConnect: () => (abort.abort(), true) }, abort.signal);
    await expect(opening).rejects.toMatchObject({ kind: 'aborted' });
  });
});
