import { afterEach, expect, it } from 'vitest';
import { makeAlignedBuffers } from '../../../transfer/aligned-buffers.ts';
import { openNbdSource } from '../../../transfer/nbd-source.ts';
import { FakeServer, wire, type FakeServerOptions, type Request } from '../nbd/fake-server.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const severalConnections = 1 << 8;

const answer = ({ type, cookie, offset, length }: Request): Buffer =>
  type === 0
    ? wire.chunk(cookie, 1, wire.data(offset, Buffer.alloc(length, 7)))
    : wire.simple(cookie);

const serve = async (script: FakeServerOptions): Promise<FakeServer> => {
  const server = await FakeServer.start({ onCommand: answer, ...script });
  closers.push(() => server.stop());
  return server;
};

const openBeside = ({ path }: FakeServer) =>
  openNbdSource({ what: 'disk vda', address: { path }, connections: 2, allowsMany: true });

it('a server that allows many gets all connections at once, and serves over each', async () => {
  const server = await serve({ flags: severalConnections });
  const source = await openBeside(server);
  closers.push(() => source.close());
  expect(server.connections).toBe(3);
  const [into] = makeAlignedBuffers(1, 4096);
  if (into === undefined) throw new Error('no buffer');
  await source.read(0, into);
  expect(into.every((byte) => byte === 7)).toBe(true);
});

it('a server that turns out to allow one keeps one', async () => {
  const server = await serve({ flags: 0 });
  const source = await openBeside(server);
  closers.push(() => source.close());
  expect(source.parallelism).toBeGreaterThan(0);
  await expect.poll(() => server.open).toBe(1);
});

it('if the first connection is refused, none of the others is left', async () => {
  let connections = 0;
  const server = await serve({
    flags: severalConnections,
    onConnect: (socket) => {
      if (++connections > 1) return false;
      socket.destroy();
      return true;
    },
  });
  await expect(openBeside(server)).rejects.toMatchObject({ name: 'VmFerryError' });
  await expect.poll(() => server.open).toBe(0);
});
