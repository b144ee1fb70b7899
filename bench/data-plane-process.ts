/**
 * The data path of one host, as its worker builds it, without Temporal: reads orders from stdin, a line of JSON each,
 * and answers on stdout likewise. It runs inside a host of the lab and lives through all runs, as a worker does.
 */
import { unlink } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { CopyFollower } from '../activities/parts.ts';
import { loadConfig } from '../config/load.ts';
import type { DiskSource } from '../domain/platform.ts';
import { copyDisk } from '../transfer/copy.ts';
import { hashDisk } from '../transfer/hash-tree.ts';
import { Journal, journalPathFor } from '../transfer/journal.ts';
import { openNbdSource } from '../transfer/nbd-source.ts';
import type { Range } from '../transfer/range-set.ts';
import { NbdDataPlane } from '../workers/data-plane.ts';
import type { Answer, CopyOrder, DataPlaneOrder } from './data-plane-orders.ts';

/** As activities/ensure-copied.ts has it. */
const chunkBytes = 2 * 1024 * 1024;
/** As workers/data-plane.ts has it, which knows no way without TLS. */
const remoteConnections = 4;

const config = loadConfig({ path: process.argv[2] ?? '' });
if (config.host === undefined) throw new Error('the configuration has no section `host`');
const dataPlane = new NbdDataPlane(config.host);
const { signal } = new AbortController();
/** Of the last copy. */
let follower: CopyFollower | undefined;

type HashOrder = DataPlaneOrder & { do: 'hash' };

const seconds = async (act: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await act();
  return (performance.now() - start) / 1000;
};

async function openSource(order: CopyOrder): Promise<DiskSource> {
  if ('endpoint' in order.source) {
    return dataPlane.openRemote(order.source.endpoint, { signal });
  }
  const { address, port, exportName } = order.source.plain;
  return openNbdSource({
    address: { host: address, port },
    exportName,
    connections: remoteConnections,
    what: 'the plain export',
    signal,
  });
}

/** Opening and closing count: a user waits for them as well. */
async function copy(order: CopyOrder): Promise<number> {
  const { path, format, sizeBytes, moveId, followed } = order;
  const took = await seconds(async () => {
    await using closing = new AsyncDisposableStack();
    const source = await openSource(order);
    closing.defer(() => source.close());
    const sink = await dataPlane.openSink({ path, format, sizeBytes, signal });
    closing.defer(() => sink.close());
    const journal = await Journal.open({
      path: journalPathFor(path),
      header: { moveId, diskName: 'vda', sizeBytes, fingerprint: 'bench', chunkBytes },
      targetStartsZeroed: sink.startsZeroed,
    });
    closing.defer(() => journal.close());
    follower = followed ? await dataPlane.followCopy({ path, format, sizeBytes }) : undefined;
    closing.defer(() => follower?.close());
    const onDurable = (ranges: readonly Range[]) => follower?.durable(ranges);
    await copyDisk({ source, sink, journal, onDurable, signal });
  });
  await unlink(journalPathFor(path));
  return took;
}

/** As activities/hash-disk.ts does it. */
async function hash({ path, format, side }: HashOrder): Promise<Answer> {
  let root = '';
  const took = await seconds(async () => {
    const source = await dataPlane.openLocal({ path, format, cached: side === 'source', signal });
    try {
      ({ root } = await hashDisk({
        source,
        ...(side === 'target' && follower ? { known: follower } : {}),
        signal,
      }));
    } finally {
      await source.close();
    }
  });
  return { seconds: took, root };
}

async function obey(order: DataPlaneOrder): Promise<Answer> {
  switch (order.do) {
    case 'export':
      return { endpoint: await dataPlane.ensureExport(order.export) };
    case 'close-exports':
      await dataPlane.closeExports(order.moveId);
      return {};
    case 'copy':
      return { seconds: await copy(order) };
    case 'hash':
      return hash(order);
    case 'usage': {
      const { user, system } = process.cpuUsage();
      const peakRssMiB = process.resourceUsage().maxRSS / 1024;
      return { cpuSeconds: (user + system) / 1e6, peakRssMiB };
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as DataPlaneOrder;
  const answer = await obey(order).catch((error: unknown): Answer => ({ failed: String(error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
