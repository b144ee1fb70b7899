/** vSphere as a source, against a simulated vCenter that has real bytes. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { providers as schema } from '../../../config/provider-schema.ts';
import { vcenterShortcoming } from '../../../lab/vcenter/program.ts';
import type { DiskSource } from '../../../domain/platform.ts';
import type { VsphereSource } from '../../../platforms/vsphere/source.ts';
import {
  machine,
  MIB,
  openSource,
  optionsFor,
  richMachine,
  startVcenter,
} from './vsphere-fixture.ts';
import type { Vcenter } from './vsphere-fixture.ts';
import { ConfiguredProviders } from '../../../workers/providers.ts';
import { describeForeignSource } from './suite.ts';

const shortcoming = await vcenterShortcoming();
if (shortcoming !== undefined) console.warn(`SKIPPED, vSphere is not tested: ${shortcoming}`);

const extentOf = (type: string, file: string): string =>
  `# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="vmfs"\n\nRW 2048 ${type} "${file}"\n`;

describe.skipIf(shortcoming !== undefined)('vSphere', { timeout: 60_000 }, () => {
  const bytes = randomBytes(3 * MIB + 512);
  let dir: string;
  let vcenter: Vcenter;
  let source: VsphereSource;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vsphere-'));
    const file = join(dir, 'bytes');
    await writeFile(file, bytes);
    const disk = { key: 2000, sizeBytes: bytes.length, file, controller: 'scsi' } as const;
    const withDescriptor = (name: string, descriptor: string) =>
      machine(name, { disks: [{ key: 2000, sizeBytes: MIB, controller: 'scsi', descriptor }] });
    const vms = [
      machine('web', { disks: [disk, { key: 2001, sizeBytes: MIB, controller: 'scsi', unit: 1 }] }),
      machine('busy', { running: true }),
      machine('mute', { running: true, noTools: true }),
      machine('doomed'),
      machine('fickle'),
      machine('still', { disks: [disk] }),
      richMachine,
      withDescriptor('escaping', extentOf('VMFS', '../web/disk-2000-flat.vmdk')),
      withDescriptor('mapped', extentOf('VMFSRDM', 'disk-2000-flat.vmdk')),
      withDescriptor('sparse', extentOf('SESPARSE', 'disk-2000-flat.vmdk')),
      withDescriptor('lying', extentOf('VMFS', 'disk-2000-flat.vmdk').replace('2048', '4096')),
      withDescriptor('odd', 'no descriptor at all'),
    ];
    vcenter = await startVcenter({ machines: 260, vms });
    source = await openSource(vcenter);
  }, 1_300_000);
  afterAll(async () => {
    await source.close();
    await vcenter.close();
    await rm(dir, { recursive: true, force: true });
  });

  const errorOf = async (promise: Promise<unknown>): Promise<Record<string, unknown>> =>
    (await promise.then(
      () => ({}),
      (reason: unknown) => reason,
    )) as Record<string, unknown>;
  const readAll = async (disk: DiskSource): Promise<Buffer> => {
    const into = Buffer.alloc(disk.sizeBytes);
    await disk.read(0, into);
    return into;
  };
  const open = async (name: string, key = '2000') =>
    await source.openDisk(await source.inspect(name), key);

  describeForeignSource({
    name: 'vSphere',
    vm: () => ({
      name: 'still',
      facts: {
        kind: 'vsphere',
        state: 'shut-off',
        cpus: 2,
        firmware: 'bios',
        guestFamily: 'linux',
      },
      disks: { 2000: join(dir, 'bytes') },
    }),
    open: () => openSource(vcenter),
    traces: async () => {
      const { sessions, snapshots } = await vcenter.stats();
      return [`${sessions} sessions`, `${snapshots} snapshots`];
    },
    patienceMs: 60_000,
  });

  describe('logging in', () => {
    it('trusts a SHA-1 thumbprint, an authority, and anybody if that is written out', async () => {
      const trusts = [
        { sha1: vcenter.thumbprintSha1 },
        { ca: vcenter.certificate },
        { sha256: vcenter.thumbprintSha256.replaceAll(':', '').toLowerCase() },
        { insecure: true },
      ] as const;
      for (const trust of trusts) await (await openSource(vcenter, { trust })).close();
      expect((await vcenter.stats()).sessions).toBe(1);
    });

    it('shows both thumbprints where they differ, and says nothing to the server', async () => {
      const before = (await vcenter.stats()).calls;
      const pinned = 'AB'.repeat(32).match(/../g)!.join(':');
      const error = await errorOf(openSource(vcenter, { trust: { sha256: pinned } }));
      expect(error).toMatchObject({ code: 'tls-thumbprint-mismatch', handling: 'needs-operator' });
      expect(error['message']).toContain(pinned);
      expect(error['message']).toContain(vcenter.thumbprintSha256);
      expect((await vcenter.stats()).calls).toEqual(before);
    });

    it('does not trust a certificate that another authority would have to vouch for', async () => {
      const other = await startVcenter();
      try {
        const error = await errorOf(openSource(vcenter, { trust: { ca: other.certificate } }));
        expect(error).toMatchObject({ code: 'tls-untrusted' });
      } finally {
        await other.close();
      }
    });

    it('tells a wrong password once, without it', async () => {
      const logins = (await vcenter.stats()).calls['Login'] ?? 0;
      const password = 'wrong-and-secret';
      const error = await errorOf(openSource(vcenter, { password }));
      expect(error).toMatchObject({ code: 'vsphere-login-refused', handling: 'needs-operator' });
      expect(JSON.stringify([error, error['message'], error['stack']])).not.toContain(password);
      expect((await vcenter.stats()).calls['Login']).toBe(logins + 1);
    });

    it('says that nobody is there as something that may heal', async () => {
      const error = await errorOf(openSource(vcenter, { url: 'https://127.0.0.1:1' }));
      expect(error).toMatchObject({ code: 'source-unreachable', handling: 'transient' });
    });

    it('logs out at the end, and not a second time', async () => {
      const { sessions } = await vcenter.stats();
      const second = await openSource(vcenter);
      expect((await vcenter.stats()).sessions).toBe(sessions + 1);
      await second.close();
      await second.close();
      expect((await vcenter.stats()).sessions).toBe(sessions);
    });
  });

  describe('the inventory', () => {
    it('comes in pages, each VM once with its path and size', async () => {
      const calls = (await vcenter.stats()).calls['ContinueRetrievePropertiesEx'] ?? 0;
      const found = await collected(source.list());
      expect(found).toHaveLength(272);
      expect(new Set(found.map(({ id }) => id)).size).toBe(272);
      expect(found.find(({ name }) => name === 'web')).toEqual({
        id: expect.stringMatching(/^vm-\d+$/) as string,
        name: 'web',
        state: 'shut-off',
        memoryBytes: 512 * MIB,
        cpus: 2,
        diskBytes: bytes.length + MIB,
        path: 'DC0/vm/web',
      });
      expect((await vcenter.stats()).calls['ContinueRetrievePropertiesEx']).toBe(calls + 2);
    });

    it('goes on after the login ran out between two pages', async () => {
      const names: string[] = [];
      for await (const { name } of source.list()) {
        if (names.push(name) === 255) await vcenter.command({ op: 'expire' });
      }
      expect(names).toHaveLength(272);
      expect(new Set(names).size).toBe(272);
    });

    it('leaves no view behind where it is not read to its end', async () => {
      const before = (await vcenter.stats()).calls;
      for await (const _ of source.list()) break;
      const { calls } = await vcenter.stats();
      const more = (name: string): number => (calls[name] ?? 0) - (before[name] ?? 0);
      expect(more('CreateContainerView')).toBeGreaterThan(0);
      expect(more('DestroyView')).toBe(more('CreateContainerView'));
    });

    it('finds a VM by ID, UUID, path and name', async () => {
      const byName = await source.inspect('web');
      for (const called of [byName.id, byName.uuid, byName.uuid.toUpperCase(), 'DC0/vm/web']) {
        expect(await source.inspect(called)).toEqual(byName);
      }
    });

    it.each(['nobody', 'vm-999999', '00000000-0000-0000-0000-000000000000', 'DC0/vm/nobody'])(
      'has no VM that is called %s',
      async (called) => {
        expect(await errorOf(source.inspect(called))).toMatchObject({ code: 'vm-not-found' });
      },
    );
  });

  describe('an inspection', () => {
    it('tells all of the machine', async () => {
      expect(await source.inspect('rich')).toMatchObject({
        kind: 'vsphere',
        state: 'running',
        memoryBytes: 2048 * MIB,
        cpus: 4,
        coresPerSocket: 2,
        arch: 'x86_64',
        firmware: 'uefi',
        secureBoot: true,
        tpm: true,
        guestOs: 'windows2019srv_64Guest',
        guestFamily: 'windows',
        cdroms: ['[LocalDS_0] iso/setup.iso'],
        fixedDevices: ['PCI passthrough 0000:03:00.0'],
        snapshots: [],
      });
    });

    it('has the disks in the order of the firmware, with what is special about each', async () => {
      const { disks } = await source.inspect('rich');
      expect(disks.map(({ key, bus, unit }) => [key, bus, unit.controller, unit.unit])).toEqual([
        ['2000', 'scsi', 0, 0],
        ['2001', 'scsi', 0, 1],
        ['2016', 'scsi', 1, 0],
        ['3000', 'ide', 0, 0],
        ['16000', 'sata', 0, 0],
        ['31000', 'nvme', 0, 0],
      ]);
      const keysWhere = (is: (disk: (typeof disks)[number]) => boolean | undefined) =>
        disks.filter((disk) => is(disk) === true).map(({ key }) => key);
      expect(keysWhere(({ boot }) => boot)).toEqual(['2000']);
      expect(keysWhere(({ independent }) => independent)).toEqual(['2001']);
      expect(keysWhere(({ shared }) => shared)).toEqual(['2016']);
      expect(keysWhere(({ encrypted }) => encrypted)).toEqual(['3000']);
      expect(keysWhere(({ raw }) => raw)).toEqual(['31000']);
      expect(disks[0]).toMatchObject({
        path: '[LocalDS_0] rich/disk-2000.vmdk',
        capacityBytes: 3 * MIB,
      });
    });

    it('names networks as people do, distributed port groups too', async () => {
      expect((await source.inspect('rich')).nics).toEqual([
        {
          key: '4000',
          mac: '00:50:56:aa:bb:01',
          network: 'DC0_DVPG0',
          model: 'vmxnet3',
          connected: true,
        },
        {
          key: '4001',
          mac: '00:50:56:aa:bb:02',
          network: 'VM Network',
          model: 'e1000',
          connected: true,
        },
      ]);
    });

    it('keeps what the guest says of its network, but for what makes no sense', async () => {
      expect((await source.inspect('rich')).guestNetwork).toEqual([
        {
          mac: '00:50:56:aa:bb:01',
          name: '',
          addresses: [{ address: '192.0.2.7', prefix: 24, origin: 'static' }],
          gateways: ['192.0.2.1'],
          dns: ['192.0.2.53'],
          searchDomains: ['example.org'],
        },
        {
          mac: '00:50:56:aa:bb:02',
          name: '',
          addresses: [{ address: '2001:db8::7', prefix: 64, origin: 'dhcp' }],
          gateways: [],
          dns: [],
          searchDomains: [],
        },
      ]);
    });

    it('raises concerns of vSphere alone', async () => {
      const codesOf = async (name: string): Promise<string[]> =>
        (await source.concerns(await source.inspect(name))).map(({ code }) => code);
      expect(await codesOf('mute')).toContain('vsphere-tools-not-running');
      expect(await codesOf('busy')).not.toContain('vsphere-tools-not-running');
      expect(await codesOf('web')).toEqual([
        'vsphere-addresses-unknown',
        'vsphere-change-tracking-off',
      ]);
    });
  });

  describe('power', () => {
    beforeEach(async () => await vcenter.command({ op: 'power', vm: 'busy', on: true }));

    it('asks the guest, and is content where it is off already', async () => {
      const { id } = await source.inspect('busy');
      await source.requestShutdown(id);
      await expect.poll(() => source.state(id)).toBe('shut-off');
      await source.requestShutdown(id);
    });

    it('powers off, and is content where it is off already', async () => {
      const { id } = await source.inspect('busy');
      await source.forceOff(id);
      expect(await source.state(id)).toBe('shut-off');
      await source.forceOff(id);
    });

    it('says of a VM that vanished that it is not there, whatever is asked', async () => {
      const vm = await source.inspect('doomed');
      await vcenter.command({ op: 'remove', vm: 'doomed' });
      const asks = [
        () => source.state(vm.id),
        () => source.requestShutdown(vm.id),
        () => source.forceOff(vm.id),
        () => source.concerns(vm),
        () => source.openDisk(vm, '2000'),
        () => source.inspect('doomed'),
      ];
      for (const ask of asks) expect(await errorOf(ask())).toMatchObject({ code: 'vm-not-found' });
    });
  });

  describe('a disk', () => {
    it('is read byte for byte, in one piece and in many at once', async () => {
      const { source: disk } = await open('web');
      expect(disk.sizeBytes).toBe(bytes.length);
      expect(await collected(disk.extents(0, disk.sizeBytes))).toEqual([
        { offset: 0, length: bytes.length, zero: false },
      ]);
      expect(hashOf(await readAll(disk))).toBe(hashOf(bytes));
      const step = 200_001;
      const offsets = Array.from(
        { length: Math.ceil(bytes.length / step) },
        (_, index) => index * step,
      );
      // Each one takes a while, so that they meet.
      await vcenter.command({ op: 'folder-delay', ms: 100 });
      const pieces = await Promise.all(
        offsets.map(async (offset) => {
          const into = Buffer.alloc(Math.min(step, bytes.length - offset));
          await disk.read(offset, into);
          return into;
        }),
      );
      await vcenter.command({ op: 'folder-delay', ms: 0 });
      expect(hashOf(Buffer.concat(pieces))).toBe(hashOf(bytes));
      expect((await vcenter.stats()).folderMost).toBeGreaterThan(1);
    });

    it('goes on being read after the login ran out, with one new login for all ranges', async () => {
      const { source: disk } = await open('web');
      const logins = (await vcenter.stats()).calls['Login'] ?? 0;
      await vcenter.command({ op: 'expire' });
      const halves = [Buffer.alloc(MIB), Buffer.alloc(MIB), Buffer.alloc(MIB)];
      await Promise.all(halves.map((half, index) => disk.read(index * MIB, half)));
      expect(hashOf(Buffer.concat(halves))).toBe(hashOf(bytes.subarray(0, 3 * MIB)));
      expect((await vcenter.stats()).calls['Login']).toBe(logins + 1);
    });

    it('is read again where the connection broke in the middle of a range, or the server was short of something', async () => {
      const { source: disk } = await open('web');
      await vcenter.command({ op: 'folder-cut', offset: 300_000 });
      expect(hashOf(await readAll(disk))).toBe(hashOf(bytes));
      await vcenter.command({ op: 'folder-fault', status: 503, times: 2 });
      expect(hashOf(await readAll(disk))).toBe(hashOf(bytes));
    });

    it('is given up where the server keeps failing', async () => {
      const { source: disk } = await open('web');
      await vcenter.command({ op: 'folder-fault', status: 503, times: 50 });
      const error = await errorOf(disk.read(0, new Uint8Array(512)));
      await vcenter.command({ op: 'folder-fault', status: 0, times: 0 });
      expect(error).toMatchObject({ code: 'source-unreachable', handling: 'transient' });
    });

    it('stops being read when the caller says so', async () => {
      const { source: disk } = await open('web');
      await vcenter.command({ op: 'folder-delay', ms: 20_000 });
      const stop = new AbortController();
      const reading = errorOf(disk.read(0, new Uint8Array(512), stop.signal));
      stop.abort();
      const error = await reading;
      await vcenter.command({ op: 'folder-delay', ms: 0 });
      expect(error).toMatchObject({ code: 'cancelled' });
    });

    it('of a running VM is told to be locked', async () => {
      expect(await errorOf(open('mute'))).toMatchObject({ code: 'vsphere-disk-locked' });
    });

    it('is told to be locked where the VM is powered on while it is read, and is another one after that', async () => {
      const before = await open('web', '2001');
      await vcenter.command({ op: 'power', vm: 'web', on: true });
      const error = await errorOf(before.source.read(0, new Uint8Array(512)));
      await vcenter.command({ op: 'power', vm: 'web', on: false });
      expect(error).toMatchObject({ code: 'vsphere-disk-locked' });
      expect((await open('web', '2001')).fingerprint).not.toBe(before.fingerprint);
    });

    it('is said to have changed at the end of a copy if its VM ran meanwhile, be it off again', async () => {
      const vm = await source.inspect('fickle');
      const { source: disk } = await source.openDisk(vm, '2000');
      await readAll(disk);
      await source.verifyUnchanged(vm);
      await vcenter.command({ op: 'power', vm: 'fickle', on: true });
      const changed = { code: 'source-changed', handling: 'unsafe' };
      expect(await errorOf(source.verifyUnchanged(vm))).toMatchObject(changed);
      await vcenter.command({ op: 'power', vm: 'fickle', on: false });
      expect(await errorOf(source.verifyUnchanged(vm))).toMatchObject(changed);
    });

    it('that was written to while it is read is told to have changed', async () => {
      const { source: disk, fingerprint } = await open('web', '2001');
      expect((await open('web', '2001')).fingerprint).toBe(fingerprint);
      // The server tells times in seconds: a write within the second of the last one is seen at the next.
      const readAfterWrite = async () => {
        await vcenter.command({ op: 'write', vm: 'web', key: 2001, offset: 0, bytes: 'AAAA' });
        return await errorOf(disk.read(0, new Uint8Array(512)));
      };
      await expect
        .poll(readAfterWrite)
        .toMatchObject({ code: 'source-changed', handling: 'unsafe' });
      expect((await open('web', '2001')).fingerprint).not.toBe(fingerprint);
    });

    it.each([
      ['escaping', 'vsphere-path-invalid'],
      ['mapped', 'vsphere-disk-unreadable'],
      ['sparse', 'vsphere-disk-unreadable'],
      ['lying', 'vsphere-disk-unreadable'],
      ['odd', 'vsphere-descriptor-invalid'],
    ])('with a descriptor that is %s is refused', async (name, code) => {
      expect(await errorOf(open(name))).toMatchObject({ code });
    });

    it('that the VM does not have is not found', async () => {
      expect(await errorOf(open('web', '2999'))).toMatchObject({ code: 'disk-not-found' });
    });

    it('comes from the ESXi itself where its address is given', async () => {
      const login = optionsFor(vcenter);
      const direct = await openSource(vcenter, { direct: { DC0_C0_H0: login } });
      try {
        expect((await vcenter.stats()).sessions).toBe(2);
        const { source: disk } = await direct.openDisk(await direct.inspect('web'), '2000');
        expect(hashOf(await readAll(disk))).toBe(hashOf(bytes));
        expect((await vcenter.stats()).sessions).toBe(3);
      } finally {
        await direct.close();
      }
      expect((await vcenter.stats()).sessions).toBe(1);
    });

    it('is called from the address for data, and its vCenter as the routes say', async () => {
      await using seen = await callersOf(new URL(vcenter.url));
      const password = `file:${join(dir, 'password')}`;
      await writeFile(join(dir, 'password'), vcenter.password, { mode: 0o600 });
      const login = { user: vcenter.username, password, thumbprint: vcenter.thumbprintSha256 };
      const providers = new ConfiguredProviders({
        ...{ host: 'alpha', scratchDir: dir, address: () => '127.0.0.6' },
        providers: schema.parse({ vc: { kind: 'vsphere', address: seen.address, ...login } }),
      });
      const signal = AbortSignal.timeout(30_000);
      const opening = { label: 'm1', pause: false, reads: true, signal };
      await using vc = await providers.open('vc', opening);
      const vm = await vc.inspect('web');
      expect(seen.callers).toEqual(new Set(['127.0.0.1']));
      const { source: disk } = await vc.openDisk(vm, '2000');
      expect(hashOf(await readAll(disk))).toBe(hashOf(bytes));
      expect(seen.callers).toEqual(new Set(['127.0.0.1', '127.0.0.6']));
    });
  });
});

/** Hands connections on to a server, and keeps from where they came. */
async function callersOf({ hostname, port }: URL) {
  const callers = new Set<string | undefined>();
  const proxy = createServer((socket) => {
    callers.add(socket.remoteAddress);
    const onward = connect(Number(port), hostname);
    // Whichever end goes first takes the other with it.
    pipeline(socket, onward, socket).catch(() => undefined);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return { address, callers, [Symbol.asyncDispose]: () => Promise.resolve(void proxy.close()) };
}

const hashOf = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

async function collected<T>(some: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of some) all.push(one);
  return all;
}
