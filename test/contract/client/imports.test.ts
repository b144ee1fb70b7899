/** What programs ask of the client about imports, on a real Temporal server with real workflows; the hosts' verbs are played. */
import { ApplicationFailure } from '@temporalio/activity';
import { defaultPayloadConverter } from '@temporalio/common';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Import, VmFerry } from '../../../client/vmferry.ts';
import type { V2vRequest, V2vStart } from '../../../client/vmferry.ts';
import type { InspectForeignInput, ListForeignInput } from '../../../activities/import/contract.ts';
import type { ConversionHostFacts } from '../../../domain/import.ts';
import { ensureSearchAttributes } from '../../../workers/search-attributes.ts';
import type { ImportVmInput } from '../../../workflows/contract.ts';
import { reading } from '../../quick/hosts/readings.ts';
import { foreignVm, ImportWorld } from '../../quick/import/fake-import.ts';
import { HostBench } from '../../quick/workflows/host-bench.ts';
import { playedHost } from './played-hosts.ts';

let bench: HostBench;
let ferry: VmFerry;
let world = new ImportWorld({ running: false });
const dropped: unknown[] = [];

const facts = (name: string): ConversionHostFacts => ({
  ...{ name, arch: 'x86_64', cpus: 8, memoryBytes: 2 ** 34, virtioWin: false, kvm: true },
  cache: { path: '/cache', capacityBytes: 1e12, availableBytes: 1e12 },
  toolVersion: '2.2.0',
  providers: [{ name: 'vc', kind: 'vsphere', address: 'vc.example' }],
  ...{ running: 0, parallel: 10, promisedBytes: 0, cacheSeconds: 3600 },
});

const fault = (code: string, message: string) =>
  ApplicationFailure.create({
    ...{ type: code, message, nonRetryable: true },
    details: [{ code, handling: 'permanent', message, remedy: 'none' }],
  });

/** 1,203 of them: three pages. */
const inventory = Array.from({ length: 1203 }, (_, index) => ({
  ...{ id: `vm-${index}`, name: index === 42 ? 'web' : `other-${index}`, state: 'shut-off' },
  ...{ memoryBytes: 0, cpus: 1, diskBytes: 0, path: '' },
}));

const said = {
  ...{ code: 'vsphere-consolidation-needed', level: 'warning', message: 'it has leftovers' },
  remedy: 'Consolidate its disks.',
};
const conversionVerbs = {
  conversionFacts: () => Promise.resolve(facts('alpha')),
  listForeign: ({ provider, skip, most }: ListForeignInput) =>
    provider === 'vc'
      ? Promise.resolve({
          vms: inventory.slice(skip, skip + most),
          more: inventory.length > skip + most,
        })
      : Promise.reject(fault('provider-unreachable', 'nobody answers')),
  inspectForeign: ({ vm }: InspectForeignInput) => {
    const named = [foreignVm.id, foreignVm.name, foreignVm.uuid].includes(vm);
    if (named) return Promise.resolve({ vm: foreignVm, concerns: [said] });
    if (vm === 'db') {
      const other = { ...foreignVm, id: 'vm-7 #1', name: 'db', uuid: '' };
      return Promise.resolve({ vm: other, concerns: [] });
    }
    return Promise.reject(fault('vm-not-found', `nobody is called ${vm}`));
  },
  dropCache: (input: unknown) => {
    dropped.push(input);
    return Promise.resolve();
  },
};

beforeAll(async () => {
  bench = await HostBench.open();
  const connection = await NativeConnection.connect({ address: bench.address });
  await ensureSearchAttributes(connection, 'default');
  await connection.close();
  const own = (name: string) => playedHost(name, () => world);
  await bench.serve('alpha', { ...own('alpha'), ...conversionVerbs });
  await bench.serve('beta', {
    ...own('beta'),
    conversionFacts: () => Promise.reject(fault('no-conversion-host', 'beta names no provider')),
  });
  for (const name of ['alpha', 'beta']) await bench.announce(name, reading());
  ferry = await VmFerry.connectWith({
    ...{ address: bench.address, cluster: bench.cluster, dataConverter: {} },
    operator: 'ada@desk',
  });
  // Lists of hosts come from the visibility store, which is a moment behind.
  await vi.waitFor(
    async () => {
      expect((await ferry.hosts()).filter(({ online }) => online)).toHaveLength(2);
    },
    { timeout: 60_000, interval: 200 },
  );
}, 120_000);
afterAll(async () => {
  await ferry.close();
  await bench.close();
});

const wish = (change: Partial<V2vRequest> = {}): V2vRequest => ({
  ...{ provider: 'vc', vm: 'web', to: 'beta', defaultNetwork: 'br0' },
  storage: { pool: 'default' },
  ...change,
});

const importOf = ([start]: V2vStart[]): Import => {
  expect(start?.fault).toBeUndefined();
  return start!.import!;
};

describe('providers', () => {
  it('are told with the hosts that know them; a host without any is no trouble', async () => {
    expect(await ferry.providers()).toEqual({
      providers: [
        { host: 'alpha', name: 'vc', kind: 'vsphere', address: 'vc.example', reachable: true },
      ],
      unreachable: [],
    });
    const [known] = (await ferry.providers({ host: 'alpha', check: false })).providers;
    expect(known).not.toHaveProperty('reachable');
    await expect(ferry.providers({ host: 'nobody' })).rejects.toMatchObject({
      code: 'host-unknown',
    });
  });

  it('tell of their VMs page by page, and of one by any of its names', async () => {
    let seen = 0;
    for await (const { id } of ferry.foreignVms('vc')) expect(id).toBe(`vm-${seen++}`);
    expect(seen).toBe(1203);
    const look = await ferry.inspectForeign('vc', foreignVm.uuid);
    expect(look).toMatchObject({ provider: 'vc', conversionHost: 'alpha', vm: foreignVm });
    // The platform's own word, and what the rules say of a VM that is off and told no addresses.
    expect(look.concerns.map(({ code, level }) => [code, level])).toEqual([
      ['vsphere-consolidation-needed', 'warning'],
      ['addresses-unknown-off', 'information'],
      ['platform-settings-stay', 'information'],
    ]);
    expect(look.concerns.every(({ remedy }) => remedy !== '')).toBe(true);
    await expect(ferry.inspectForeign('vc', 'none')).rejects.toMatchObject({
      code: 'vm-not-found',
    });
    await expect(ferry.inspectForeign('nobody', 'web')).rejects.toMatchObject({
      code: 'provider-unknown',
      message: expect.stringContaining('known: vc') as string,
    });
  });
});

describe('a forecast', () => {
  it('makes the request whole by what hosts and VM tell', async () => {
    const asked = [wish({ storageMap: { ds: 'fast' } }), wish({ vm: 'db', running: 'leave' })];
    const { imports, use } = await ferry.forecastV2v(asked);
    expect(imports.map(({ request }) => request)).toMatchObject([
      {
        ...{ vm: 'vm-42', conversionHost: 'alpha', to: 'beta', operator: 'ada@desk' },
        ...{ defaultNetwork: 'bridge:br0', cacheSeconds: 3600, running: 'shutdown' },
        storage: { pool: 'default', format: 'qcow2', byDisk: { '2000': 'fast', '2001': 'fast' } },
      },
      { vm: 'vm-7 #1', running: 'leave', storage: { pool: 'default' } },
    ]);
    expect(use.map(({ what }) => what)).toEqual(
      expect.arrayContaining(['cpus', 'memory', 'storage', 'addresses']),
    );
    expect(world.crossed).toBe(0);
  });

  it('is refused for none, for more than 50, and for a target that is not there', async () => {
    for (const asked of [[], Array.from({ length: 51 }, () => wish())]) {
      await expect(ferry.forecastV2v(asked)).rejects.toMatchObject({ code: 'batch-too-large' });
    }
    await expect(ferry.forecastV2v([wish({ to: 'nobody' })])).rejects.toMatchObject({
      code: 'host-unknown',
    });
    await expect(ferry.v2v([wish(), wish({ vm: 'vm-42' })])).rejects.toMatchObject({
      code: 'vm-twice',
    });
  });
});

describe('an import', () => {
  it('begins once, is found by its name, and is committed', async () => {
    world = new ImportWorld({ running: false });
    const forecast = await ferry.forecastV2v([wish()]);
    const one = importOf(await ferry.v2v(forecast));
    expect(one.id).toBe(`import/${bench.cluster}/vc/vm-42`);
    const [second] = await ferry.v2v(forecast);
    expect(second?.fault).toMatchObject({
      code: 'import-already-running',
      message: expect.stringContaining(one.id) as string,
    });
    const seen = [];
    for await (const { report } of one.watch()) seen.push(report.phase);
    expect(seen.at(-1)).toBe('awaiting-commit');
    await expect(one.cancel()).rejects.toMatchObject({ code: 'order-refused' });
    await expect(one.discard()).rejects.toMatchObject({ code: 'order-refused' });
    await vi.waitFor(
      async () => {
        const found = await ferry.work('web');
        expect(found).toBeInstanceOf(Import);
        expect(found.id).toBe(one.id);
      },
      { timeout: 45_000, interval: 200 },
    );
    await expect(ferry.move('web')).rejects.toMatchObject({ code: 'move-not-found' });
    const [listed] = await ferry.moves({ limit: 1 });
    expect(listed).toMatchObject({ id: one.id, source: 'vc', target: 'beta' });
    await one.commit();
    expect(await one.result()).toMatchObject({
      phase: 'committed',
      orders: [{ order: 'commit', operator: 'ada@desk' }],
    });
    await expect(one.retry()).rejects.toMatchObject({ code: 'order-refused' });
  }, 120_000);

  it('that is cancelled begins anew as it was asked for, with what its cache has', async () => {
    world = new ImportWorld({ running: true });
    const { promise: reached, resolve: reach } = Promise.withResolvers<unknown>();
    const { promise: held, resolve: goOn } = Promise.withResolvers<unknown>();
    world.onCall = async (verb) => {
      if (verb !== 'reserveTarget') return;
      reach(verb);
      await held;
    };
    const asked = wish({ shape: { name: 'shop' }, cacheSeconds: 77 });
    const one = importOf(await ferry.v2v([asked]));
    await reached;
    expect(world.source.running).toBe(false);
    await one.cancel();
    goOn('cancelled');
    const ended = await one.result();
    expect(ended).toMatchObject({ phase: 'cancelled', sourceRunning: true });
    expect(ended.orders).toMatchObject([{ order: 'cancel', operator: 'ada@desk' }]);
    await one.retry();
    for await (const { report } of one.watch()) if (report.phase === 'parked') break;
    const { report } = await one.status();
    expect(report).toMatchObject({ phase: 'awaiting-commit', vm: { name: 'web' } });
    expect(report.runId).not.toBe(ended.runId);
    // Two disks of 4,096 bytes crossed in the first run, and none in the second.
    expect(world.crossed).toBe(8192);
    const history = await bench.client.workflow.getHandle(one.id).fetchHistory();
    const [payload] =
      history.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    const { request } = defaultPayloadConverter.fromPayload<ImportVmInput>(payload!);
    expect(request).toMatchObject({ shape: { name: 'shop' }, cacheSeconds: 77 });
    await expect(one.rollback()).rejects.toMatchObject({
      code: 'order-refused',
      message: expect.stringContaining('--discard-target-writes') as string,
    });
    await one.rollback({ discardTargetWrites: true });
    expect(await one.result()).toMatchObject({ phase: 'rolled-back', sourceRunning: true });
    expect((await one.status()).report.cachedUntil).toBe('2030-01-01T00:00:00Z');
    await one.discard();
    expect((await one.status()).report).not.toHaveProperty('cachedUntil');
    expect(dropped).toEqual([{ provider: 'vc', foreign: { id: 'vm-42', name: 'web' } }]);
  }, 120_000);

  it('is found by the UUID of its VM at the source and on the target, and by its new name', async () => {
    world = new ImportWorld({ running: true });
    const asked = wish({ running: 'leave', shape: { name: 'copy-of-web' }, autoCommit: true });
    const one = importOf(await ferry.v2v([asked]));
    const { vm } = await one.result();
    expect(vm.uuid).not.toBe(foreignVm.uuid);
    await vi.waitFor(
      async () => {
        for (const word of [foreignVm.uuid.toUpperCase(), vm.uuid, 'copy-of-web'])
          expect((await ferry.work(word)).id).toBe(one.id);
      },
      { timeout: 45_000, interval: 200 },
    );
    // Of a UUID that nobody knows it is a move's, which then is not found.
    const strange = '6a1d7c52-0000-4d7e-9a52-0c3f5ad1e042';
    expect((await ferry.work(strange)).id).toBe(`migrate/${bench.cluster}/${strange}`);
  }, 60_000);

  it('of an ID with signs that no other ID has is found again', async () => {
    world = new ImportWorld({ running: false });
    const one = importOf(await ferry.v2v([wish({ vm: 'db', autoCommit: true })]));
    expect(one.id).toBe(`import/${bench.cluster}/vc/vm-7%20%231`);
    expect(await one.result()).toMatchObject({ phase: 'committed' });
    expect((await ferry.work(one.id)).id).toBe(one.id);
  }, 60_000);
});
