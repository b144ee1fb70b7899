/** Every call of the wire table that can be made without harm, against a real libvirtd. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AffectFlag,
  BlockCopyFlag,
  BlockJobAbortFlag,
  BlockJobStatus,
  BlockJobType,
  Connection,
  CreateFlag,
  DefineFlag,
  DomainState,
  DomainXmlFlag,
  LibvirtError,
  ListDomainsFlag,
  LifecycleEvent,
  MetadataType,
  param,
  PausedReason,
  PoolState,
  procedures,
  SecretUsageType,
  ShutoffReason,
  SnapshotCreateFlag,
  SnapshotDeleteFlag,
  SnapshotListFlag,
  SnapshotXmlFlag,
  StoppedDetail,
  UndefineFlag,
  VolumeType,
} from '../../../protocols/libvirt/index.ts';
import type {
  ArgsOf,
  DomainRef,
  PoolRef,
  ProcedureName,
  ResultOf,
} from '../../../protocols/libvirt/index.ts';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';

const GUEST = '11111111-2222-4333-8444-55555555aa01';
const POOL = '11111111-2222-4333-8444-55555555bb01';
const SECRET = '11111111-2222-4333-8444-55555555cc01';
const MIB = 1024 * 1024;

let dir: string;
let host: PrivateLibvirtd;
let connection: Connection;
const called = new Set<ProcedureName>();
/** Bytes that the table does not account for. */
const surplus: string[] = [];

function call<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<ResultOf<N>> {
  called.add(name);
  return connection.call(name, args);
}

async function refusal<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<string> {
  const error = await call(name, args).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LibvirtError);
  return (error as LibvirtError).codeName;
}

const guestXml = (name: string, uuid: string, devices = ''): string =>
  `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>32</memory>` +
  `<os><type arch='x86_64' machine='q35'>hvm</type></os>` +
  `<devices>${devices}<memballoon model='none'/></devices></domain>`;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmfp-'));
  await mkdir(join(dir, 'pool'));
  host = await startPrivateLibvirtd({ dir: join(dir, 'host') });
  connection = await Connection.open({
    unixPath: host.unixPath,
    uri: 'qemu:///system',
    onSurplus: (message, bytes) => surplus.push(`${message}: ${bytes}`),
  });
});

afterAll(async () => {
  await connection.close();
  await host.stop();
  await rm(dir, { recursive: true, force: true });
});

describe('the host', () => {
  it('says who and what it is', async () => {
    expect(connection.libvirtVersion).toBeGreaterThanOrEqual(9_000_000);
    expect(connection.hypervisorVersion).toBeGreaterThan(1_000_000);
    expect(await call('ConnectGetType', {})).toEqual({ type: 'QEMU' });
    const { version } = await call('ConnectGetLibVersion', {});
    expect(version).toBe(connection.libvirtVersion);
    expect(await call('ConnectGetVersion', {})).toEqual({ version: connection.hypervisorVersion });
    expect(await call('ConnectGetHostname', {})).toEqual({ hostname: `vmfp-${process.pid}` });
    expect((await call('ConnectGetUri', {})).uri).toBe('qemu:///system');
    expect((await call('ConnectSupportsFeature', { feature: 10 })).supported).toBe(1);
    expect((await call('AuthList', {})).types).toEqual([0]);
  });

  it('says what it has', async () => {
    const node = await call('NodeGetInfo', {});
    expect(node.model).toBe('x86_64');
    expect(node.memory).toBeGreaterThan(100_000);
    expect(node.cpus).toBeGreaterThan(0);
    const { freeMemory } = await call('NodeGetFreeMemory', {});
    expect(freeMemory).toBeGreaterThan(MIB);
    const { count } = await call('NodeGetMemoryStats', { count: 0, cell: -1 });
    const memory = await call('NodeGetMemoryStats', { count, cell: -1 });
    expect(memory.params.find(({ field }) => field === 'total')?.value).toBeGreaterThan(0);
    const cpu = await call('NodeGetCPUStats', { cpu: -1, count: 0 });
    const { params } = await call('NodeGetCPUStats', { cpu: -1, count: cpu.count });
    expect(params.find(({ field }) => field === 'idle')?.value).toBeGreaterThan(0n);
    const sysinfo = await call('ConnectGetSysinfo', {}).catch((error: unknown) => error);
    // Without readable SMBIOS tables (containers) libvirt refuses this, which is an answer too.
    if (!(sysinfo instanceof LibvirtError)) {
      expect(sysinfo).toMatchObject({ sysinfo: expect.stringContaining('<sysinfo') as string });
    }
  });

  it('says what guests it can run', async () => {
    expect((await call('ConnectGetCapabilities', {})).capabilities).toMatch(/^<capabilities>/);
    const { capabilities } = await call('ConnectGetDomainCapabilities', {
      arch: 'x86_64',
      machine: 'q35',
      virtType: 'qemu',
    });
    expect(capabilities).toMatch(/<domainCapabilities>/);
    const cpu = "<cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu>";
    const type = { arch: 'x86_64', virtType: 'qemu' };
    const compared = await call('ConnectCompareHypervisorCPU', { ...type, xmlCpu: cpu });
    expect([-1, 0, 1, 2]).toContain(compared.result);
    const baseline = await call('ConnectBaselineHypervisorCPU', { ...type, xmlCpus: [cpu] });
    expect(baseline.cpu).toMatch(/<cpu/);
    const known = await call('ConnectCompareCPU', { xml: cpu }).catch((error: unknown) => error);
    if (!(known instanceof LibvirtError))
      expect(known).toMatchObject({ result: expect.any(Number) as number });
  });
});

describe('a domain without disks', () => {
  let dom: DomainRef;

  it('is defined, found and described, also on the persistent side', async () => {
    const xml = guestXml('plain', GUEST);
    ({ dom } = await call('DomainDefineXMLFlags', { xml, flags: DefineFlag.validate }));
    expect(dom).toEqual({ name: 'plain', uuid: GUEST, id: -1 });
    expect(await call('DomainLookupByName', { name: 'plain' })).toEqual({ dom });
    expect(await call('DomainLookupByUUID', { uuid: GUEST })).toEqual({ dom });
    const flags = DomainXmlFlag.secure | DomainXmlFlag.inactive | DomainXmlFlag.migratable;
    expect((await call('DomainGetXMLDesc', { dom, flags })).xml).toContain(`<uuid>${GUEST}</uuid>`);
    expect((await call('DomainIsPersistent', { dom })).persistent).toBe(1);
    expect((await call('DomainIsActive', { dom })).active).toBe(0);
    const state = await call('DomainGetState', { dom });
    expect(state).toEqual({ state: DomainState.shutoff, reason: ShutoffReason.unknown });
    const listed = await call('ConnectListAllDomains', {
      needResults: 1,
      flags: ListDomainsFlag.inactive,
    });
    expect(listed).toEqual({ domains: [dom], count: 1 });
  });

  it('is set up: autostart, metadata, name', async () => {
    await call('DomainSetAutostart', { dom, autostart: 1 });
    expect(await call('DomainGetAutostart', { dom })).toEqual({ autostart: 1 });
    await call('DomainSetAutostart', { dom, autostart: 0 });
    const uri = 'https://vmferry.example/test';
    const flags = AffectFlag.config;
    await call('DomainSetMetadata', {
      dom,
      type: MetadataType.element,
      metadata: '<owner epoch="3"/>',
      key: 'test',
      uri,
      flags,
    });
    const read = await call('DomainGetMetadata', { dom, type: MetadataType.element, uri, flags });
    expect(read.metadata).toMatch(/<owner epoch="3"\/>/);
    await call('DomainSetMetadata', { dom, type: MetadataType.element, key: 'test', uri, flags });
    const none = { dom, type: MetadataType.element, uri, flags };
    expect(await refusal('DomainGetMetadata', none)).toBe('NO_DOMAIN_METADATA');
    await call('DomainRename', { dom, newName: 'renamed' });
    ({ dom } = await call('DomainLookupByName', { name: 'renamed' }));
  });

  it('runs through its life, and every step is an event', async () => {
    const seen: [number, number][] = [];
    const removed = Promise.withResolvers<undefined>();
    called.add('ConnectDomainEventCallbackRegisterAny');
    called.add('ConnectDomainEventCallbackDeregisterAny');
    const subscription = await connection.onLifecycle(
      ({ dom: of, event, detail }) => {
        expect(of.uuid).toBe(GUEST);
        seen.push([event, detail]);
        if (event === LifecycleEvent.stopped) removed.resolve(undefined);
      },
      { dom },
    );
    ({ dom } = await call('DomainCreateWithFlags', { dom, flags: CreateFlag.paused }));
    expect(dom.id).toBeGreaterThan(0);
    const state = await call('DomainGetState', { dom });
    expect(state.state).toBe(DomainState.paused);
    expect([PausedReason.user, PausedReason.startingUp]).toContain(state.reason);
    await call('DomainResume', { dom });
    const info = await call('DomainGetInfo', { dom });
    expect(info).toMatchObject({ state: DomainState.running, maxMemory: 32 * 1024, vcpus: 1 });
    expect(info.cpuTime).toBeGreaterThan(0n);
    expect(await call('DomainGetVcpusFlags', { dom })).toEqual({ count: 1 });
    await call('DomainReset', { dom });
    await call('DomainShutdownFlags', { dom });
    const { stats } = await call('DomainMemoryStats', { dom, maxStats: 16 });
    expect(stats.length).toBeGreaterThan(0);
    const all = await call('ConnectGetAllDomainStats', { doms: [dom], stats: 0 });
    expect(all.stats[0]?.params).toContainEqual(param.i32('state.state', DomainState.running));
    await call('DomainSuspend', { dom });
    await call('DomainDestroyFlags', { dom });
    await removed.promise;
    await subscription.stop();
    expect(seen.map(([event]) => event)).toEqual(
      expect.arrayContaining([
        LifecycleEvent.started,
        LifecycleEvent.resumed,
        LifecycleEvent.suspended,
        LifecycleEvent.stopped,
      ]),
    );
    expect(seen).toContainEqual([LifecycleEvent.stopped, StoppedDetail.destroyed]);
    ({ dom } = await call('DomainLookupByUUID', { uuid: GUEST }));
    expect(dom.id).toBe(-1);
  });

  it('is saved by libvirt, and the image is found and removed', async () => {
    await call('DomainCreateWithFlags', { dom });
    await call('DomainManagedSave', { dom });
    expect(await call('DomainHasManagedSaveImage', { dom })).toEqual({ result: 1 });
    expect(await refusal('DomainUndefineFlags', { dom })).toBe('OPERATION_INVALID');
    await call('DomainManagedSaveRemove', { dom });
    expect(await call('DomainHasManagedSaveImage', { dom })).toEqual({ result: 0 });
  });

  it('has migration settings and jobs while it runs', async () => {
    ({ dom } = await call('DomainCreateWithFlags', { dom, flags: CreateFlag.paused }));
    await call('DomainMigrateSetMaxDowntime', { dom, downtimeMs: 250 });
    expect(await call('DomainMigrateGetMaxDowntime', { dom })).toEqual({ downtimeMs: 250 });
    await call('DomainMigrateSetMaxSpeed', { dom, bandwidth: 20n });
    expect(await call('DomainMigrateGetMaxSpeed', { dom })).toEqual({ bandwidth: 20n });
    await call('DomainMigrateSetCompressionCache', { dom, cacheSize: 64 * MIB });
    expect((await call('DomainGetJobInfo', { dom })).type).toBe(0);
    expect(await call('DomainGetJobStats', { dom })).toEqual({ type: 0, params: [] });
    expect(await refusal('DomainAbortJob', { dom })).toBe('OPERATION_INVALID');
    expect(await refusal('DomainAbortJobFlags', { dom })).toMatch(/OPERATION_INVALID|RPC/);
    expect(await refusal('DomainMigrateStartPostCopy', { dom })).toBe('OPERATION_INVALID');
  });

  it('without an agent refuses what only the agent can do', async () => {
    await call('DomainResume', { dom });
    const noAgent = /ARGUMENT_UNSUPPORTED|AGENT_UNRESPONSIVE|CONFIG_UNSUPPORTED|OPERATION_INVALID/;
    expect(await refusal('DomainFsfreeze', { dom, mountPoints: ['/'] })).toMatch(noAgent);
    expect(await refusal('DomainFsthaw', { dom, mountPoints: [] })).toMatch(noAgent);
    expect(await refusal('DomainGetTime', { dom })).toMatch(noAgent);
    expect(await refusal('DomainGetGuestInfo', { dom, types: 0 })).toMatch(noAgent);
    expect(await refusal('DomainGetHostname', { dom, flags: 2 })).toMatch(noAgent);
    const none = await call('DomainInterfaceAddresses', { dom, source: 0 });
    expect(none).toEqual({ interfaces: [] });
    await call('DomainDestroyFlags', { dom });
  });

  it('is undefined, and then is no more', async () => {
    const flags = UndefineFlag.managedSave | UndefineFlag.snapshotsMetadata | UndefineFlag.nvram;
    await call('DomainUndefineFlags', { dom, flags });
    expect(await refusal('DomainLookupByName', { name: 'renamed' })).toBe('NO_DOMAIN');
  });

  it('may live only as long as it runs', async () => {
    const xml = guestXml('transient', GUEST);
    const created = await call('DomainCreateXML', { xml, flags: CreateFlag.paused });
    expect((await call('DomainIsPersistent', { dom: created.dom })).persistent).toBe(0);
    await call('DomainDestroyFlags', { dom: created.dom });
    expect(await refusal('DomainGetState', { dom: created.dom })).toBe('NO_DOMAIN');
  });
});

describe('storage', () => {
  const poolXml = (): string =>
    `<pool type='dir'><name>images</name><uuid>${POOL}</uuid>` +
    `<target><path>${dir}/pool</path></target></pool>`;
  let pool: PoolRef;

  it('pools are defined, built, started, refreshed, found', async () => {
    ({ pool } = await call('StoragePoolDefineXML', { xml: poolXml() }));
    expect(pool).toEqual({ name: 'images', uuid: POOL });
    await call('StoragePoolBuild', { pool });
    await call('StoragePoolCreate', { pool });
    await call('StoragePoolRefresh', { pool });
    expect(await call('StoragePoolLookupByName', { name: 'images' })).toEqual({ pool });
    expect(await call('StoragePoolLookupByUUID', { uuid: POOL })).toEqual({ pool });
    const listed = await call('ConnectListAllStoragePools', { needResults: 1 });
    expect(listed).toEqual({ pools: [pool], count: 1 });
    const info = await call('StoragePoolGetInfo', { pool });
    expect(info.state).toBe(PoolState.running);
    expect(info.capacity).toBe(info.allocation + info.available);
    expect((await call('StoragePoolGetXMLDesc', { pool })).xml).toContain('<pool type=');
  });

  it('volumes are created, found four ways, resized, deleted', async () => {
    const xml = `<volume><name>disk.qcow2</name><capacity unit='MiB'>8</capacity><target><format type='qcow2'/></target></volume>`;
    const { vol } = await call('StorageVolCreateXML', { pool, xml });
    const path = `${dir}/pool/disk.qcow2`;
    expect(vol).toEqual({ pool: 'images', name: 'disk.qcow2', key: path });
    expect(await call('StorageVolLookupByName', { pool, name: 'disk.qcow2' })).toEqual({ vol });
    expect(await call('StorageVolLookupByKey', { key: path })).toEqual({ vol });
    expect(await call('StorageVolLookupByPath', { path })).toEqual({ vol });
    expect(await call('StorageVolGetPath', { vol })).toEqual({ path });
    expect(await call('StoragePoolLookupByVolume', { vol })).toEqual({ pool });
    expect((await call('StorageVolGetXMLDesc', { vol })).xml).toContain('disk.qcow2');
    const info = await call('StorageVolGetInfo', { vol });
    expect(info).toMatchObject({ type: VolumeType.file, capacity: 8 * MIB });
    await call('StorageVolResize', { vol, capacity: 16 * MIB });
    const grown = await call('StorageVolGetInfoFlags', { vol });
    expect(grown.capacity).toBe(16 * MIB);
    const listed = await call('StoragePoolListAllVolumes', { pool, needResults: 1 });
    expect(listed).toEqual({ vols: [vol], count: 1 });
    expect(await refusal('StorageVolCreateXML', { pool, xml })).toBe('STORAGE_VOL_EXIST');
    await call('StorageVolDelete', { vol });
    expect(await refusal('StorageVolLookupByPath', { path })).toBe('NO_STORAGE_VOL');
  });

  it('pools are stopped and forgotten', async () => {
    await call('StoragePoolDestroy', { pool });
    await call('StoragePoolUndefine', { pool });
    expect(await refusal('StoragePoolLookupByName', { name: 'images' })).toBe('NO_STORAGE_POOL');
    ({ pool } = await call('StoragePoolCreateXML', { xml: poolXml() }));
  });
});

describe('a domain with a disk', () => {
  let dom: DomainRef;
  const disk = (): string =>
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>` +
    `<source file='${dir}/pool/vda.qcow2'/><target dev='vda' bus='virtio'/></disk>`;

  it('tells of its disks', async () => {
    const { pool } = await call('StoragePoolLookupByName', { name: 'images' });
    const xml = `<volume><name>vda.qcow2</name><capacity unit='MiB'>4</capacity><target><format type='qcow2'/><compat>1.1</compat></target></volume>`;
    // libvirt makes version 2 of qcow2 unless it is told, which cannot keep a checkpoint's bitmap.
    await call('StorageVolCreateXML', { pool, xml });
    ({ dom } = await call('DomainDefineXMLFlags', { xml: guestXml('disky', GUEST, disk()) }));
    ({ dom } = await call('DomainCreateWithFlags', { dom, flags: CreateFlag.paused }));
    const info = await call('DomainGetBlockInfo', { dom, path: 'vda' });
    expect(info.capacity).toBe(4 * MIB);
    const errors = await call('DomainGetDiskErrors', { dom, maxErrors: 4 });
    expect(errors).toEqual({ errors: [], count: 0 });
  });

  it('takes and gives back devices', async () => {
    const cdrom = (source: string): string =>
      `<disk type='file' device='cdrom'>${source}<target dev='sda' bus='sata'/></disk>`;
    const flags = AffectFlag.config;
    await call('DomainAttachDeviceFlags', { dom, xml: cdrom(''), flags });
    const loaded = cdrom(`<source file='${dir}/pool/vda.qcow2'/>`);
    await call('DomainUpdateDeviceFlags', { dom, xml: loaded, flags });
    const inactive = await call('DomainGetXMLDesc', { dom, flags: DomainXmlFlag.inactive });
    expect(inactive.xml).toContain("device='cdrom'");
    await call('DomainDetachDeviceFlags', { dom, xml: cdrom(''), flags });
  });

  it('has checkpoints and a backup job, whose end is an event', async () => {
    const { checkpoint } = await call('DomainCheckpointCreateXML', {
      dom,
      xml: "<domaincheckpoint><name>c1</name><disks><disk name='vda' checkpoint='bitmap'/></disks></domaincheckpoint>",
    });
    expect(checkpoint.name).toBe('c1');
    const listed = await call('DomainListAllCheckpoints', { dom, needResults: 1 });
    expect(listed).toMatchObject({ checkpoints: [{ name: 'c1' }], count: 1 });
    const found = await call('DomainCheckpointLookupByName', { dom, name: 'c1' });
    expect((await call('DomainCheckpointGetXMLDesc', found)).xml).toContain('<name>c1</name>');

    const ended = Promise.withResolvers<undefined>();
    await connection.onEvent('DomainEventCallbackJobCompleted', ({ params }) => {
      expect(params.length).toBeGreaterThan(0);
      ended.resolve(undefined);
    });
    await call('DomainBackupBegin', {
      dom,
      backupXml: `<domainbackup mode='pull'><server transport='unix' socket='${dir}/backup.sock'/></domainbackup>`,
    });
    expect((await call('DomainBackupGetXMLDesc', { dom })).xml).toContain("mode='pull'");
    expect((await call('DomainGetJobStats', { dom })).params.length).toBeGreaterThan(0);
    await call('DomainAbortJob', { dom });
    await ended.promise;
    await call('DomainCheckpointDelete', found);
    expect(await refusal('DomainCheckpointLookupByName', { dom, name: 'c1' })).toBe(
      'NO_DOMAIN_CHECKPOINT',
    );
  });

  it('has block jobs, which tell when they are ready and done', async () => {
    const ready = Promise.withResolvers<undefined>();
    const done = Promise.withResolvers<undefined>();
    await connection.onEvent('DomainEventBlockJob2', ({ dst, status }) => {
      expect(dst).toBe('vda');
      (status === BlockJobStatus.ready ? ready : done).resolve(undefined);
    });
    await call('DomainBlockCopy', {
      dom,
      path: 'vda',
      destXml: `<disk type='file'><driver type='qcow2'/><source file='${dir}/pool/copy.qcow2'/></disk>`,
      params: [param.u64('bandwidth', 1024 * MIB)],
      flags: BlockCopyFlag.transientJob,
    });
    await ready.promise;
    const job = await call('DomainGetBlockJobInfo', { dom, path: 'vda' });
    expect(job).toMatchObject({ found: 1, type: BlockJobType.copy });
    expect(job.current).toBe(job.end);
    await call('DomainBlockJobSetSpeed', { dom, path: 'vda', bandwidth: 10n });
    const flags = BlockJobAbortFlag.pivot;
    await call('DomainBlockJobAbort', { dom, path: 'vda', flags });
    await done.promise;
    expect((await call('DomainGetXMLDesc', { dom })).xml).toContain('copy.qcow2');
  });

  it('has snapshots, and disks are merged again', async () => {
    const { snapshot } = await call('DomainSnapshotCreateXML', {
      dom,
      xml: `<domainsnapshot><name>s1</name><disks><disk name='vda' snapshot='external'><source file='${dir}/pool/s1.qcow2'/></disk></disks></domainsnapshot>`,
      flags: SnapshotCreateFlag.diskOnly,
    });
    const flags = SnapshotListFlag.topological;
    expect((await call('DomainListAllSnapshots', { dom, needResults: 1, flags })).count).toBe(1);
    expect((await call('DomainSnapshotCurrent', { dom })).snapshot.name).toBe('s1');
    const described = await call('DomainSnapshotGetXMLDesc', {
      snapshot,
      flags: SnapshotXmlFlag.secure,
    });
    expect(described.xml).toContain('<name>s1</name>');
    await call('DomainSnapshotDelete', { snapshot, flags: SnapshotDeleteFlag.metadataOnly });
    expect((await call('DomainListAllSnapshots', { dom, needResults: 0 })).count).toBe(0);
    await call('DomainBlockPull', { dom, path: 'vda', bandwidth: 0n });
    expect(
      await refusal('DomainBlockRebase', { dom, path: 'vda', base: `${dir}/none`, bandwidth: 0n }),
    ).toMatch(/INVALID_ARG|OPERATION_/);
    expect(
      await refusal('DomainBlockCommit', { dom, disk: 'vda', base: `${dir}/none`, bandwidth: 0n }),
    ).toMatch(/INVALID_ARG|OPERATION_|CONFIG_UNSUPPORTED/);
  });

  it('leaves nothing behind', async () => {
    await call('DomainDestroyFlags', { dom });
    await call('DomainUndefineFlags', { dom, flags: UndefineFlag.checkpointsMetadata });
    const { pool } = await call('StoragePoolLookupByName', { name: 'images' });
    await call('StoragePoolDestroy', { pool });
    expect((await call('ConnectListAllDomains', { needResults: 0 })).count).toBe(0);
  });
});

describe('networks and secrets', () => {
  it('secrets are defined, set, listed and forgotten', async () => {
    const { secret } = await call('SecretDefineXML', {
      xml: `<secret private='yes'><uuid>${SECRET}</uuid><usage type='ceph'><name>client.x</name></usage></secret>`,
    });
    const ref = { uuid: SECRET, usageType: SecretUsageType.ceph, usageId: 'client.x' };
    expect(secret).toEqual(ref);
    await call('SecretSetValue', { secret, value: Buffer.from('key') });
    expect(await call('SecretLookupByUUID', { uuid: SECRET })).toEqual({ secret: ref });
    expect((await call('SecretGetXMLDesc', { secret })).xml).toContain('client.x');
    const { usageType, usageId } = ref;
    expect(await call('SecretLookupByUsage', { usageType, usageId })).toEqual({ secret: ref });
    // A private secret's value stays with the daemon.
    expect(await refusal('SecretGetValue', { secret })).toBe('INVALID_SECRET');
    const open = await call('SecretDefineXML', {
      xml: `<secret private='no'><uuid>${SECRET.replace(/01$/, '02')}</uuid></secret>`,
    });
    expect(await refusal('SecretGetValue', open)).toBe('NO_SECRET');
    await call('SecretSetValue', { ...open, value: Buffer.from([0, 255]) });
    expect((await call('SecretGetValue', open)).value).toEqual(Uint8Array.of(0, 255));
    await call('SecretUndefine', open);
    const listed = await call('ConnectListAllSecrets', { needResults: 1 });
    expect(listed).toEqual({ secrets: [ref], count: 1 });
    await call('SecretUndefine', { secret });
    expect(await refusal('SecretLookupByUUID', { uuid: SECRET })).toBe('NO_SECRET');
  });

  it('networks are listed and described', async () => {
    const uuid = '11111111-2222-4333-8444-55555555dd01';
    const xml = `${dir}/network.xml`;
    await host.exec(
      'bash',
      '-c',
      `echo "<network><name>n1</name><uuid>${uuid}</uuid><forward mode='bridge'/><bridge name='lab0'/></network>" >${xml} && virsh -q net-define ${xml} && virsh -q net-start n1`,
    );
    const { net } = await call('NetworkLookupByName', { name: 'n1' });
    expect(net).toEqual({ name: 'n1', uuid });
    expect(await call('NetworkLookupByUUID', { uuid })).toEqual({ net });
    const listed = await call('ConnectListAllNetworks', { needResults: 1 });
    expect(listed).toEqual({ nets: [net], count: 1 });
    expect(await call('NetworkIsActive', { net })).toEqual({ active: 1 });
    expect(await call('NetworkGetBridgeName', { net })).toEqual({ name: 'lab0' });
    expect((await call('NetworkGetXMLDesc', { net })).xml).toContain('lab0');
  });

  it('a network that only lives until it is ended is made', async () => {
    const transient = `<network><name>n2</name><forward mode='bridge'/><bridge name='lab0'/></network>`;
    const { net } = await call('NetworkCreateXML', { xml: transient });
    expect(net.name).toBe('n2');
    expect(await call('NetworkIsActive', { net })).toEqual({ active: 1 });
    await call('NetworkDestroy', { net });
    expect(await refusal('NetworkLookupByName', { name: 'n2' })).toBe('NO_NETWORK');
  });
});

describe('the wire table', () => {
  it('has no call that was not made, but for those that are tried elsewhere or cannot be', () => {
    const missing = (Object.keys(procedures) as ProcedureName[]).filter(
      (name) => !called.has(name),
    );
    expect(missing.sort()).toEqual([
      // The opening and the end of every connection; authentication.test.ts.
      'AuthPolkit',
      'AuthSaslInit',
      'AuthSaslStart',
      'AuthSaslStep',
      'ConnectClose',
      'ConnectOpen',
      // migration.test.ts
      'DomainMigrateBegin3Params',
      'DomainMigrateConfirm3Params',
      'DomainMigrateFinish3Params',
      'DomainMigratePerform3Params',
      'DomainMigratePrepare3Params',
      // volume-streams.test.ts
      'StorageVolDownload',
      'StorageVolUpload',
    ]);
  });

  it('is as long as what the daemon sends', () => {
    expect(surplus).toEqual([]);
  });
});
