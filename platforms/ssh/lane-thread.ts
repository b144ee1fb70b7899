/** A thread of `lane.ts`: sessions of SSH that decrypt here, and whose bytes go straight into shared memory. */
import { openPool } from '../../protocols/nbd/index.ts';
import type { NbdClient } from '../../protocols/nbd/index.ts';
import { SshError, SshErrorKind } from '../../protocols/ssh/index.ts';
import { obeyOrders } from '../../protocols/threads/index.ts';
import { FileLane } from './file-lane.ts';
import { inWords } from './lane-messages.ts';
import type { LaneAnswer, LaneOrder, LaneWords, RemoteExport } from './lane-messages.ts';
import { openSocket } from './relay.ts';
import { SshHost } from './ssh-host.ts';

type Said = Omit<LaneAnswer, 'id' | 'error'>;

/** A session, and what is open in it. */
interface Lane {
  readonly host: SshHost;
  readonly files: FileLane;
  readonly disks: Map<number, NbdClient>;
}

// Node 24 throws and catches two errors for each packet that is decrypted; their stacks cost a fifth of a copy.
Error.stackTraceLimit = 0;

const connectTimeoutMs = 20_000;
const lanes = new Map<number, Lane>();

const closed = (): SshError => new SshError(SshErrorKind.lost, 'it is closed');

function laneOf({ lane }: LaneOrder): Lane {
  const known = lanes.get(lane);
  if (known === undefined) throw closed();
  return known;
}

async function openExport(lane: Lane, from: RemoteExport, signal: AbortSignal): Promise<NbdClient> {
  const { socket, exportName, host } = from;
  const stream = await openSocket(await lane.host.session(), socket, { host, signal });
  const address = { stream, name: `${socket} on ${host}` };
  return openPool({ address, exportName, connectTimeoutMs, signal });
}

async function close(order: LaneOrder): Promise<void> {
  const { host, disks } = laneOf(order);
  lanes.delete(order.lane);
  await Promise.all(Array.from(disks.values(), (disk) => disk.close()));
  await host.close();
}

async function obey(order: LaneOrder, signal: AbortSignal): Promise<Said> {
  switch (order.do) {
    case 'open': {
      const host = new SshHost(order.login, { bulk: true });
      lanes.set(order.lane, { host, files: new FileLane(host), disks: new Map() });
      return {};
    }
    case 'stat':
      return { stamp: await laneOf(order).files.stat(order.path, signal) };
    case 'read-file':
      return { stamp: await laneOf(order).files.read(order.path, order, signal) };
    case 'open-export': {
      const lane = laneOf(order);
      const disk = await openExport(lane, order.from, signal);
      lane.disks.set(order.disk, disk);
      return { sizeBytes: disk.info.sizeBytes };
    }
    case 'read-export': {
      const disk = laneOf(order).disks.get(order.disk);
      if (disk === undefined) throw closed();
      await disk.read(order.offset, order.into, signal);
      return {};
    }
    case 'close-export': {
      const { disks } = laneOf(order);
      const disk = disks.get(order.disk);
      disks.delete(order.disk);
      await disk?.close();
      return {};
    }
    case 'close':
      await close(order);
      return {};
  }
}

obeyOrders<LaneOrder, LaneAnswer, LaneWords>(obey, inWords);
