/** A connection that is closed while its server is away. */
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { VmFerry } from '../../../client/vmferry.ts';

const okay = '0';
const unavailable = '14';
/** An empty message: not compressed, of no bytes. */
const empty = Buffer.alloc(5);

/** Answers a connection's first question; says of all others that it is not there just now. */
function answer(stream: ServerHttp2Stream, path: string): void {
  const headers = { ':status': 200, 'content-type': 'application/grpc+proto' };
  if (!path.endsWith('/GetSystemInfo')) {
    stream.respond({ ...headers, 'grpc-status': unavailable }, { endStream: true });
    return;
  }
  stream.respond(headers, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': okay }));
  stream.end(empty);
}

/** Resolves when the client has read all of it: it answers a ping in its turn. */
const arrived = (stream: ServerHttp2Stream): Promise<void> =>
  new Promise((resolve, reject) => {
    stream.session?.ping((error) => (error === null ? resolve() : reject(error)));
  });

it('ends a question that waits to be asked again, and nothing is thrown where nobody hears it', async () => {
  const server = createServer();
  const asked: ServerHttp2Stream[] = [];
  server.on('stream', (stream, headers) => {
    asked.push(stream);
    answer(stream, headers[':path'] ?? '');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const ferry = await VmFerry.connectWith({ address: `127.0.0.1:${port}`, dataConverter: {} });
    const question = ferry.hosts();
    // That it is asked a second time shows that it is one of those that ask again.
    const refused = expect(question).rejects.toThrow('the connection was closed');
    while (asked.length < 3) await once(server, 'stream');
    await arrived(asked[2]!);
    await ferry.close();
    await refused;
    expect(asked).toHaveLength(3);
  } finally {
    server.close();
  }
});
