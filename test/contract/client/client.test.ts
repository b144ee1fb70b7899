/** What programs ask of the client, on a real Temporal server with real workflows; the hosts' verbs are played. */
import { Context } from '@temporalio/activity';
import { defaultPayloadConverter } from '@temporalio/common';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { defaultLiveWishes as live, VmFerry } from '../../../client/vmferry.ts';
import { ensureSearchAttributes } from '../../../workers/search-attributes.ts';
import { hostId, searchAttributes } from '../../../workflows/contract.ts';
import type { MigrateVmInput } from '../../../workflows/contract.ts';
import { HostBench } from '../../quick/workflows/host-bench.ts';
import { DrainedHost } from '../../quick/workflows/drained-host.ts';
import { reading } from '../../quick/hosts/readings.ts';

let bench: HostBench;
let ferry: VmFerry;

/** Beside these two, one whose worker is off. */
const alpha = new DrainedHost('alpha', { web: 'running', db: 'shut-off' });
const beta = new DrainedHost('beta', { cache: 'running' });

/** A step that lasts until its move is over. */
async function lasts(): Promise<never> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 500);
  return context.cancelled.finally(() => clearInterval(beat));
}

const factsOn = (host: DrainedHost, vm: string) =>
  host.inspect(host.list().find(({ name }) => name === vm)?.uuid ?? vm);

const verbsOf = (host: DrainedHost) => ({
  checkSource: lasts,
  listVms: () => Promise.resolve(host.list()),
  listOrphans: () => Promise.resolve([]),
  inspectVm: ({ vm }: { vm: string }) => Promise.resolve().then(() => factsOn(host, vm)),
  findVm: ({ vm }: { vm: string }) => Promise.resolve().then(() => factsOn(host, vm)),
});

/** Lists come from the visibility store, which is a moment behind. */
const eventually = (check: () => Promise<void>) =>
  vi.waitFor(check, { timeout: 45_000, interval: 100 });

beforeAll(async () => {
  bench = await HostBench.open();
  for (const host of [alpha, beta]) {
    await bench.serve(host.name, verbsOf(host));
    await bench.announce(host.name, reading());
  }
  await bench.announce('gamma');
  ferry = await connect();
}, 120_000);
afterAll(async () => {
  await ferry.close();
  await bench.close();
});

const connect = (more: { namespace?: string } = {}): Promise<VmFerry> =>
  VmFerry.connectWith({
    address: bench.address,
    cluster: bench.cluster,
    dataConverter: {},
    operator: 'ada@desk',
    ...more,
  });

describe('the fleet', () => {
  it('lists its hosts, and asks those that are online, or those that are named', async () => {
    await eventually(async () => {
      const hosts = await ferry.hosts();
      expect(hosts.map(({ name, online }) => [name, online])).toEqual([
        ['alpha', true],
        ['beta', true],
        ['gamma', false],
      ]);
    });
    const { vms, unreachable } = await ferry.vms();
    expect(vms.map(({ name }) => name).sort()).toEqual(['cache', 'db', 'web']);
    expect(unreachable).toEqual([]);
    expect((await ferry.vms({ hosts: ['beta'] })).vms).toMatchObject([{ name: 'cache' }]);
    expect(await ferry.orphans()).toEqual({ orphans: [], unreachable: [] });
    expect(await ferry.locate('cache')).toMatchObject({ host: 'beta' });
  }, 120_000);

  it.each([
    ['gamma', 'host-offline'],
    ['nobody', 'host-unknown'],
  ])('refuses to ask %s: %s', async (name, code) => {
    const named = { hosts: ['alpha', name] };
    await expect(ferry.vms(named)).rejects.toMatchObject({ code, host: name });
    await expect(ferry.orphans(named)).rejects.toMatchObject({ code, host: name });
    await expect(ferry.vm(name, 'web')).rejects.toMatchObject({ code, host: name });
  });

  it('tells one host without the list of all, and none that was ended', async () => {
    const { state, announcement, ...rest } = await ferry.host('alpha');
    expect(rest).toEqual({ name: 'alpha', online: true });
    expect(state?.reading?.vms).toBe(3);
    expect(announcement?.migrationAddress).toBe('198.51.100.11');
    await bench.announce('delta');
    expect(await ferry.host('delta')).toMatchObject({ name: 'delta', online: false });
    await bench.client.workflow.getHandle(hostId(bench.cluster, 'delta')).terminate();
    await expect(ferry.host('delta')).rejects.toMatchObject({ code: 'host-unknown' });
  });
});

describe('the server', () => {
  it('is told apart from one without the namespace or the search attributes', async () => {
    expect(await ferry.serverVersion()).toMatch(/^\d+\.\d+/);
    expect(Math.abs(await ferry.clockOffsetMs())).toBeLessThan(60_000);
    expect(await ferry.namespaceExists()).toBe(true);
    const elsewhere = await connect({ namespace: 'nowhere' });
    expect(await elsewhere.namespaceExists()).toBe(false);
    await elsewhere.close();
  });
});

describe('a move', () => {
  beforeAll(async () => {
    expect((await ferry.missingSearchAttributes()).sort()).toEqual(
      Object.values(searchAttributes).sort(),
    );
    const connection = await NativeConnection.connect({ address: bench.address });
    await ensureSearchAttributes(connection, 'default');
    await connection.close();
    await eventually(async () => {
      expect(await ferry.missingSearchAttributes()).toEqual([]);
    });
  }, 60_000);

  it('begins once, made whole, and is found by the name of its VM', async () => {
    const asked = { vm: 'web', from: 'alpha', to: 'beta' };
    const move = await ferry.migrate({ ...asked, live, bandwidthBytesPerSecond: 7 });
    const handle = bench.client.workflow.getHandle(move.id);
    try {
      expect(move.id).toBe(`migrate/${bench.cluster}/alpha-web`);
      const [begun] = (await handle.fetchHistory()).events ?? [];
      const [payload] = begun?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
      expect(defaultPayloadConverter.fromPayload<MigrateVmInput>(payload!)).toEqual({
        cluster: bench.cluster,
        vm: { name: 'web', uuid: 'alpha-web' },
        running: true,
        targetAddress: '198.51.100.11',
        request: {
          ...asked,
          ...{ live, bandwidthBytesPerSecond: 7, operator: 'ada@desk', targetPool: '' },
          ...{ autoStart: false, autoCommit: false, verify: 'full' },
          ...{ shutdown: 'graceful', shutdownTimeoutMs: 120_000 },
        },
      });
      await expect(ferry.migrate(asked)).rejects.toMatchObject({ code: 'move-already-running' });
      await eventually(async () => {
        expect(await ferry.moves()).toMatchObject([
          { id: move.id, vmName: 'web', source: 'alpha', target: 'beta' },
        ]);
      });
      expect((await ferry.move('web')).id).toBe(move.id);
    } finally {
      await handle.terminate('the test is over');
    }
  }, 120_000);

  it('is refused where it can lead nowhere', async () => {
    const asked = { vm: 'web', from: 'alpha' };
    await expect(ferry.migrate({ ...asked, vm: 'alpha-web', to: 'alpha' })).rejects.toMatchObject({
      ...{ code: 'same-host', message: expect.stringMatching(/^web cannot move/) as unknown },
    });
    await expect(ferry.migrate({ ...asked, to: 'gamma' })).rejects.toMatchObject({
      code: 'host-offline',
    });
    await expect(ferry.migrate({ ...asked, vm: 'none', to: 'beta' })).rejects.toMatchObject({
      code: 'vm-not-found',
    });
    await expect(ferry.move('none')).rejects.toMatchObject({
      ...{ code: 'move-not-found', message: 'no move or import of a VM named none is known' },
    });
    await expect((await ferry.work('import/default/none/vm-1')).status()).rejects.toMatchObject({
      ...{
        code: 'move-not-found',
        message: expect.stringContaining('no move or import') as string,
      },
    });
  });
});
