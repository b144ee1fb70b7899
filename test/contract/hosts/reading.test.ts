import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { HostBandwidth } from '../../../activities/host-bandwidth.ts';
import type { HostParts } from '../../../activities/parts.ts';
import { lookToPlace, placementNamespace } from '../../../activities/placement-wishes.ts';
import { readHost } from '../../../activities/read-host.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { startTestHost } from '../platforms/host.ts';
import type { TestHost } from '../platforms/host.ts';

let host: TestHost;
let stateDir: string;
let parts: Pick<HostParts, 'name' | 'hypervisor' | 'ledger'>;
let bandwidth: HostBandwidth;

beforeAll(async () => {
  [host, stateDir] = await Promise.all([
    startTestHost(),
    mkdtemp(join(tmpdir(), 'vmferry-reading-')),
  ]);
  const { source, target } = host;
  const hypervisor = {
    facts: () => target.facts(),
    list: () => source.list(),
    inspect: (vm: string) => source.inspect(vm),
    definition: (uuid: string) => source.definition(uuid),
  } as HostParts['hypervisor'];
  parts = { name: 'alpha', hypervisor, ledger: new Ledger({ stateDir, host: 'alpha' }) };
  bandwidth = new HostBandwidth({ stateDir, bandwidthBytesPerSecond: 5 });
});
afterEach(() => host.clear());
afterAll(async () => {
  await host.end();
  await rm(stateDir, { recursive: true });
});

const wish = (vm: string, wishes: string) =>
  host.virsh(
    ...['metadata', vm, placementNamespace, '--config'],
    ...['--key', 'vmferry', '--set', `<placement>${wishes}</placement>`],
  );

it('tells how full a real host is, and which groups its VMs belong to', async () => {
  await host.define('off');
  await host.define('on');
  await host.define('plain');
  await host.virsh('start', 'on');
  await wish('off', '<apart group="web"/><with group="db"/>');
  await wish('on', '<apart group="web" strength="soft"/>');
  const reading = await readHost(parts, bandwidth);
  expect(reading).toMatchObject({
    vms: 3,
    runningVms: 1,
    runningVcpus: 1,
    groups: { web: 2, db: 1 },
    bandwidth: { upBytesPerSecond: 5, downBytesPerSecond: 5 },
    arch: 'x86_64',
  });
  expect(reading.freeMemoryBytes).toBeGreaterThan(0);
  expect(reading.load).toBeGreaterThanOrEqual(0);
  const nodes = reading.numa?.map(({ cpus }) => cpus) ?? [];
  expect(nodes.reduce((sum, cpus) => sum + cpus, 0)).toBe(reading.cpus);
  expect(reading.pools).toMatchObject([{ name: 'default', active: true }]);
  expect(JSON.stringify(reading).length, 'small enough to be carried about').toBeLessThan(40_000);
});

it('reads what a VM asks of its host, as virsh wrote it, also of a running one', async () => {
  await host.define('web');
  await wish('web', '<requires label="disk" value="nvme"/><with group="db" strength="soft"/>');
  await host.virsh('start', 'web');
  const wishes = {
    rules: [{ kind: 'affinity', group: 'db', strength: 'soft' }],
    requiredLabels: { disk: 'nvme' },
  };
  expect(await lookToPlace(parts, { vm: 'web' })).toMatchObject({
    facts: { name: 'web', state: 'running' },
    wishes,
  });
  await wish('web', '<requires/>');
  expect((await lookToPlace(parts, { vm: 'web' })).wishes).toMatchObject({
    fault: { code: 'placement-metadata-invalid', host: 'alpha' },
  });
});
