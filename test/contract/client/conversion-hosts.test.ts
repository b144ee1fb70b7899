/** Conversion hosts as entities, on a real Temporal server; what their workers do is played. */
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { VmFerry } from '../../../client/vmferry.ts';
import type { V2vRequest } from '../../../client/vmferry.ts';
import type { ConversionInForce, ConversionTerms } from '../../../domain/hosts/conversion.ts';
import type { ConversionHostFacts } from '../../../domain/import.ts';
import { ensureSearchAttributes } from '../../../workers/search-attributes.ts';
import { reading } from '../../quick/hosts/readings.ts';
import { foreignVm, ImportWorld } from '../../quick/import/fake-import.ts';
import { HostBench } from '../../quick/workflows/host-bench.ts';
import { playedHost } from './played-hosts.ts';

const gibibyte = 1024 ** 3;
let bench: HostBench;
let ferry: VmFerry;
/** Of the imports that run in a test; each has one VM. */
let world = new ImportWorld({ running: false });

/** A worker that holds to what it is told, for as long as it lives. */
class PlayedWorker {
  readonly told: ConversionTerms[] = [];
  inForce: ConversionInForce = {
    ...{ takesImports: true, upBytesPerSecond: 0, downBytesPerSecond: 0, parallel: 10 },
  };
  running = 0;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  facts(): ConversionHostFacts {
    return {
      ...{ name: this.#name, arch: 'x86_64', cpus: 8, memoryBytes: 16 * gibibyte },
      ...{ virtioWin: false, kvm: true, toolVersion: '2.2.0' },
      cache: { path: '/cache', capacityBytes: 1e12, availableBytes: 1e12 },
      providers: [{ name: 'vc', kind: 'vsphere', address: 'vc.example' }],
      ...{ running: this.running, promisedBytes: 0, ...this.inForce },
    };
  }

  verbs() {
    return {
      conversionFacts: () => Promise.resolve(this.facts()),
      inspectForeign: () => Promise.resolve({ vm: foreignVm, concerns: [] }),
      conversionUsage: () => Promise.resolve({ cacheDisk: '/', samples: [] }),
      applyConversion: (terms: ConversionTerms) => {
        this.told.push(terms);
        this.inForce = { ...this.inForce, ...terms };
        return Promise.resolve(this.inForce);
      },
    };
  }
}

const alpha = new PlayedWorker('alpha');
const gamma = new PlayedWorker('gamma');

beforeAll(async () => {
  bench = await HostBench.open();
  const connection = await NativeConnection.connect({ address: bench.address });
  await ensureSearchAttributes(connection, 'default');
  await connection.close();
  for (const [name, worker] of [
    ['alpha', alpha],
    ['gamma', gamma],
  ] as const) {
    await bench.serve(name, { ...playedHost(name, () => world), ...worker.verbs() });
    await bench.announce(name, reading());
  }
  ferry = await VmFerry.connectWith({
    ...{ address: bench.address, cluster: bench.cluster, dataConverter: {} },
    operator: 'ada@desk',
  });
  await eventually(async () => {
    expect((await ferry.hosts()).filter(({ online }) => online)).toHaveLength(2);
  });
}, 120_000);
afterAll(async () => {
  await ferry.close();
  await bench.close();
});

/** Lists come from the visibility store, which is a moment behind. */
const eventually = (check: () => Promise<void>) =>
  vi.waitFor(check, { timeout: 60_000, interval: 100 });

const wish = (change: Partial<V2vRequest> = {}): V2vRequest => ({
  ...{ provider: 'vc', vm: 'web', to: 'gamma', defaultNetwork: 'br0' },
  storage: { pool: 'default' },
  ...change,
});
const chosen = async (change: Partial<V2vRequest> = {}): Promise<string | undefined> =>
  (await ferry.forecastV2v([wish(change)])).imports[0]?.request.conversionHost;

/** Until lists have what the entities know. */
const untilListed = (name: string, given: boolean, enabled = true) =>
  eventually(async () => {
    const lines = await ferry.conversionHosts();
    const role = lines.find((line) => line.name === name)?.state?.role;
    expect(role).toMatchObject({ given, enabled });
  });

describe('a conversion host', () => {
  it('is one by its configuration alone, and hands caps to its worker at once, with who set them', async () => {
    expect(await ferry.conversionHosts()).toMatchObject([
      { name: 'alpha', online: true, facts: { parallel: 10 }, concerns: [] },
      { name: 'gamma' },
    ]);
    await ferry.setConversionHost('alpha', { downBytesPerSecond: 125e6, parallel: 3 });
    await eventually(async () => {
      const { state, facts } = await ferry.conversionHost('alpha');
      expect(state?.inForce).toMatchObject({ downBytesPerSecond: 125e6, parallel: 3 });
      expect(facts).toMatchObject({ downBytesPerSecond: 125e6, parallel: 3 });
      expect(state?.deeds).toMatchObject([
        { operator: 'ada@desk', what: 'down 125000000 B/s, parallel 3' },
      ]);
    });
    await ferry.setConversionHost('alpha', { downBytesPerSecond: 0 });
    await eventually(async () => {
      expect((await ferry.conversionHost('alpha')).state?.inForce?.downBytesPerSecond).toBe(0);
    });
    expect(alpha.told).toEqual([
      { takesImports: true, downBytesPerSecond: 125e6, parallel: 3 },
      { takesImports: true, downBytesPerSecond: 0, parallel: 3 },
    ]);
  }, 120_000);

  it('refuses caps that no line has, and is refused where nobody knows it', async () => {
    await expect(ferry.setConversionHost('alpha', { upBytesPerSecond: 999 })).rejects.toMatchObject(
      { code: 'host-change-refused', message: /8kbit\/s/ },
    );
    await expect(ferry.setConversionHost('nobody', { enabled: false })).rejects.toMatchObject({
      code: 'host-unknown',
    });
    await expect(ferry.conversionUsage('alpha', '1d')).resolves.toMatchObject({ cacheDisk: '/' });
  });

  it('is told again when its worker comes up anew', async () => {
    const before = gamma.told.length;
    await ferry.setConversionHost('gamma', { parallel: 5 });
    await eventually(async () => {
      expect((await ferry.conversionHost('gamma')).state?.inForce?.parallel).toBe(5);
    });
    gamma.inForce = { ...gamma.inForce, parallel: 10 };
    await bench.announce('gamma');
    await eventually(() => {
      expect(gamma.inForce.parallel).toBe(5);
      return Promise.resolve();
    });
    expect(gamma.told.length).toBe(before + 2);
  }, 120_000);

  it('is chosen by the fewest imports, or named, and never while it is disabled', async () => {
    alpha.running = 2;
    gamma.running = 1;
    expect(await chosen()).toBe('gamma');
    expect(await chosen({ on: 'alpha' })).toBe('alpha');
    alpha.running = 0;
    expect(await chosen()).toBe('alpha');
    await ferry.setConversionHost('alpha', { enabled: false });
    await untilListed('alpha', true, false);
    expect(await chosen()).toBe('gamma');
    await expect(chosen({ on: 'alpha' })).rejects.toMatchObject({
      code: 'no-conversion-host',
      message: expect.stringContaining('alpha is disabled') as string,
    });
    await ferry.setConversionHost('alpha', { enabled: true });
    await untilListed('alpha', true);
    expect(await chosen()).toBe('alpha');
  }, 120_000);

  it('that is disabled lets its imports go on; deleted, it ends them, until it is added again', async () => {
    world = new ImportWorld({ running: true });
    const { promise: reached, resolve: reach } = Promise.withResolvers<unknown>();
    const { promise: held, resolve: goOn } = Promise.withResolvers<unknown>();
    world.onCall = async (verb) => {
      if (verb !== 'ensureCached') return;
      reach(verb);
      await held;
    };
    const [start] = await ferry.v2v([wish({ on: 'alpha' })]);
    const one = start!.import!;
    await reached;
    await ferry.setConversionHost('alpha', { enabled: false });
    await eventually(async () => {
      expect(await ferry.importsOn('alpha')).toEqual([{ id: one.id }]);
    });
    expect(await ferry.importsOn('gamma')).toEqual([]);
    expect((await one.status()).report.phase).toBe('copying');
    const removed = ferry.removeConversionHost('alpha');
    expect(await removed).toEqual({ host: 'alpha', cancelled: [{ id: one.id }], left: [] });
    goOn('cancelled');
    const report = await one.result();
    expect(report).toMatchObject({ phase: 'cancelled', sourceRunning: true });
    expect(report.orders).toMatchObject([{ order: 'cancel', operator: 'ada@desk' }]);
    expect(alpha.inForce.takesImports).toBe(false);
    await untilListed('alpha', false, false);
    expect(await chosen()).toBe('gamma');
    await expect(chosen({ on: 'alpha' })).rejects.toMatchObject({
      message: expect.stringContaining('no conversion host any more') as string,
    });
    await ferry.setConversionHost('alpha', { given: true, enabled: true });
    await untilListed('alpha', true);
    await eventually(async () => {
      expect(await chosen({ on: 'alpha' })).toBe('alpha');
    });
    const { state } = await ferry.conversionHost('alpha');
    expect(state?.deeds.map(({ what }) => what).slice(-3)).toEqual([
      'disabled',
      'deleted',
      'added, enabled',
    ]);
  }, 180_000);

  it('that is deleted leaves an import alone that is past its cutover', async () => {
    world = new ImportWorld({ running: false });
    const [start] = await ferry.v2v([wish({ on: 'alpha' })]);
    const one = start!.import!;
    for await (const { report } of one.watch()) if (report.phase === 'failed') break;
    await eventually(async () => {
      expect(await ferry.importsOn('alpha')).toEqual([{ id: one.id }]);
    });
    const removed = await ferry.removeConversionHost('alpha');
    expect(removed).toMatchObject({ cancelled: [], left: [{ id: one.id, reason: /cutover/ }] });
    await one.commit();
    expect(await one.result()).toMatchObject({ phase: 'committed' });
    await ferry.setConversionHost('alpha', { given: true });
  }, 120_000);
});
