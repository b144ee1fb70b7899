/**
 * The wire table: number, arguments and results of each call, in wire order.
 *
 * libvirt calls this protocol internal, but has only ever appended to it. Source of the numbers and
 * layouts: src/remote/remote_protocol.x (program 0x20008086, version 1). A daemon that is older than
 * a call answers it with the error RPC ("unknown procedure").
 */
import {
  bytes,
  charArray,
  flags,
  i32,
  i64,
  list,
  optional,
  size,
  string,
  struct,
} from './codec.ts';
import { u32, u64, uuid } from './codec.ts';
import type { Codec, Fields, StructOf } from './codec.ts';
import { checkpoint, domain, network, pool, secret, snapshot, volume } from './types.ts';
import { typedParams } from './typed-params.ts';

/** One call of the wire table. */
export interface Procedure<A extends Fields, R extends Fields> {
  readonly number: number;
  readonly args: Codec<StructOf<A>>;
  readonly result: Codec<StructOf<R>>;
}

const call = <const A extends Fields, const R extends Fields>(
  number: number,
  args: A,
  result: R,
): Procedure<A, R> => ({ number, args: struct(args), result: struct(result) });

const none = {};
const xml = string;
const cookie = bytes(4 * 1024 * 1024);
const migrationParams = typedParams(64);
const jobParams = typedParams(64);
const nodeStats = list(struct({ field: string, value: size }), 16);
const cpuArgs = {
  emulator: optional(string),
  arch: optional(string),
  machine: optional(string),
  virtType: optional(string),
};

/** Calls that concern the connection and the host. */
const hostCalls = {
  ConnectOpen: call(1, { name: optional(string), flags }, none),
  ConnectClose: call(2, none, none),
  ConnectGetType: call(3, none, { type: string }),
  /** The hypervisor's version: major * 1,000,000 + minor * 1,000 + release. */
  ConnectGetVersion: call(4, none, { version: size }),
  /** `memory` in KiB, `mhz` of a CPU. */
  NodeGetInfo: call(6, none, {
    model: charArray(32),
    memory: size,
    cpus: i32,
    mhz: i32,
    nodes: i32,
    sockets: i32,
    cores: i32,
    threads: i32,
  }),
  ConnectGetCapabilities: call(7, none, { capabilities: xml }),
  ConnectGetHostname: call(59, none, { hostname: string }),
  ConnectSupportsFeature: call(60, { feature: i32 }, { supported: i32 }),
  AuthList: call(66, none, { types: list(i32, 20) }),
  AuthSaslInit: call(67, none, { mechanisms: string }),
  AuthPolkit: call(70, none, { complete: i32 }),
  /** In bytes. */
  NodeGetFreeMemory: call(102, none, { freeMemory: size }),
  ConnectGetUri: call(110, none, { uri: string }),
  /** libvirt's version, counted as in ConnectGetVersion. */
  ConnectGetLibVersion: call(157, none, { version: size }),
  ConnectCompareCPU: call(158, { xml, flags }, { result: i32 }),
  ConnectGetSysinfo: call(203, { flags }, { sysinfo: xml }),
  /** `count` 0 asks only how many there are; times in ns, so they are bigints. */
  NodeGetCPUStats: call(
    227,
    { cpu: i32, count: i32, flags },
    { params: list(struct({ field: string, value: u64 }), 16), count: i32 },
  ),
  /** In KiB; `count` 0 asks only how many there are; `cell` -1 is the whole host. */
  NodeGetMemoryStats: call(
    228,
    { count: i32, cell: i32, flags },
    { params: nodeStats, count: i32 },
  ),
  ConnectGetDomainCapabilities: call(342, { ...cpuArgs, flags }, { capabilities: xml }),
  ConnectCompareHypervisorCPU: call(393, { ...cpuArgs, xmlCpu: xml, flags }, { result: i32 }),
  ConnectBaselineHypervisorCPU: call(
    394,
    { ...cpuArgs, xmlCpus: list(xml, 256), flags },
    { cpu: xml },
  ),
} as const;

/** Calls on a domain: find, define, start, stop, look. */
const domainCalls = {
  DomainCreateXML: call(10, { xml, flags }, { dom: domain }),
  DomainGetXMLDesc: call(14, { dom: domain, flags }, { xml }),
  DomainGetAutostart: call(15, { dom: domain }, { autostart: i32 }),
  /** Memory in KiB, CPU time in ns. */
  DomainGetInfo: call(
    16,
    { dom: domain },
    { state: u32, maxMemory: size, memory: size, vcpus: u32, cpuTime: u64 },
  ),
  DomainLookupByName: call(23, { name: string }, { dom: domain }),
  DomainLookupByUUID: call(24, { uuid }, { dom: domain }),
  DomainResume: call(28, { dom: domain }, none),
  DomainSetAutostart: call(29, { dom: domain, autostart: i32 }, none),
  DomainSuspend: call(34, { dom: domain }, none),
  DomainIsActive: call(149, { dom: domain }, { active: i32 }),
  DomainIsPersistent: call(150, { dom: domain }, { persistent: i32 }),
  /** KiB, or a count, by tag. */
  DomainMemoryStats: call(
    159,
    { dom: domain, maxStats: u32, flags },
    { stats: list(struct({ tag: i32, value: size }), 1024) },
  ),
  DomainAttachDeviceFlags: call(160, { dom: domain, xml, flags }, none),
  DomainDetachDeviceFlags: call(161, { dom: domain, xml, flags }, none),
  DomainUpdateDeviceFlags: call(174, { dom: domain, xml, flags }, none),
  DomainManagedSave: call(182, { dom: domain, flags }, none),
  DomainHasManagedSaveImage: call(183, { dom: domain, flags }, { result: i32 }),
  DomainManagedSaveRemove: call(184, { dom: domain, flags }, none),
  /** In bytes. */
  DomainGetBlockInfo: call(
    194,
    { dom: domain, path: string, flags },
    { allocation: size, capacity: size, physical: size },
  ),
  /** Starts a defined domain. */
  DomainCreateWithFlags: call(196, { dom: domain, flags }, { dom: domain }),
  DomainGetVcpusFlags: call(200, { dom: domain, flags }, { count: i32 }),
  DomainGetState: call(212, { dom: domain, flags }, { state: i32, reason: i32 }),
  DomainUndefineFlags: call(231, { dom: domain, flags }, none),
  DomainDestroyFlags: call(234, { dom: domain, flags }, none),
  DomainReset: call(245, { dom: domain, flags }, none),
  DomainShutdownFlags: call(258, { dom: domain, flags }, none),
  DomainGetDiskErrors: call(
    263,
    { dom: domain, maxErrors: u32, flags },
    { errors: list(struct({ disk: string, error: i32 }), 256), count: i32 },
  ),
  DomainSetMetadata: call(
    264,
    {
      dom: domain,
      type: i32,
      metadata: optional(string),
      key: optional(string),
      uri: optional(string),
      flags,
    },
    none,
  ),
  DomainGetMetadata: call(
    265,
    { dom: domain, type: i32, uri: optional(string), flags },
    { metadata: string },
  ),
  ConnectListAllDomains: call(
    273,
    { needResults: i32, flags },
    { domains: list(domain, 16_384), count: u32 },
  ),
  DomainGetHostname: call(277, { dom: domain, flags }, { hostname: string }),
  DomainFsfreeze: call(
    335,
    { dom: domain, mountPoints: list(string, 256), flags },
    { filesystems: i32 },
  ),
  DomainFsthaw: call(
    336,
    { dom: domain, mountPoints: list(string, 256), flags },
    { filesystems: i32 },
  ),
  DomainGetTime: call(337, { dom: domain, flags }, { seconds: i64, nanoseconds: u32 }),
  ConnectGetAllDomainStats: call(
    344,
    { doms: list(domain, 16_384), stats: u32, flags },
    { stats: list(struct({ dom: domain, params: typedParams(262_144) }), 262_144) },
  ),
  DomainDefineXMLFlags: call(350, { xml, flags }, { dom: domain }),
  DomainInterfaceAddresses: call(
    353,
    { dom: domain, source: u32, flags },
    {
      interfaces: list(
        struct({
          name: string,
          hwaddr: optional(string),
          addrs: list(struct({ type: i32, addr: string, prefix: u32 }), 2048),
        }),
        2048,
      ),
    },
  ),
  DomainRename: call(358, { dom: domain, newName: optional(string), flags }, { code: i32 }),
  DomainGetGuestInfo: call(418, { dom: domain, types: u32, flags }, { params: typedParams(2048) }),
} as const;

/** Jobs and migration: the v3 protocol with typed parameters. */
const migrationCalls = {
  /** Times in ms, the rest in bytes. */
  DomainGetJobInfo: call(
    163,
    { dom: domain },
    {
      type: i32,
      timeElapsed: size,
      timeRemaining: size,
      dataTotal: size,
      dataProcessed: size,
      dataRemaining: size,
      memTotal: size,
      memProcessed: size,
      memRemaining: size,
      fileTotal: size,
      fileProcessed: size,
      fileRemaining: size,
    },
  ),
  DomainAbortJob: call(164, { dom: domain }, none),
  /** In ms. */
  DomainMigrateSetMaxDowntime: call(166, { dom: domain, downtimeMs: size, flags }, none),
  /** In MiB/s. */
  DomainMigrateSetMaxSpeed: call(207, { dom: domain, bandwidth: u64, flags }, none),
  DomainMigrateGetMaxSpeed: call(242, { dom: domain, flags }, { bandwidth: u64 }),
  DomainGetJobStats: call(298, { dom: domain, flags }, { type: i32, params: jobParams }),
  /** In bytes. */
  DomainMigrateSetCompressionCache: call(300, { dom: domain, cacheSize: size, flags }, none),
  DomainMigrateBegin3Params: call(
    302,
    { dom: domain, params: migrationParams, flags },
    { cookieOut: cookie, xml },
  ),
  DomainMigratePrepare3Params: call(
    303,
    { params: migrationParams, cookieIn: cookie, flags },
    { cookieOut: cookie, uriOut: optional(string) },
  ),
  DomainMigratePerform3Params: call(
    305,
    { dom: domain, dconnuri: optional(string), params: migrationParams, cookieIn: cookie, flags },
    { cookieOut: cookie },
  ),
  DomainMigrateFinish3Params: call(
    306,
    { params: migrationParams, cookieIn: cookie, flags, cancelled: i32 },
    { dom: domain, cookieOut: cookie },
  ),
  DomainMigrateConfirm3Params: call(
    307,
    { dom: domain, params: migrationParams, cookieIn: cookie, flags, cancelled: i32 },
    none,
  ),
  DomainMigrateStartPostCopy: call(364, { dom: domain, flags }, none),
  DomainMigrateGetMaxDowntime: call(387, { dom: domain, flags }, { downtimeMs: size }),
  DomainAbortJobFlags: call(442, { dom: domain, flags }, none),
} as const;

/** Block jobs, snapshots, checkpoints and backups of a running domain. */
const blockCalls = {
  DomainSnapshotCreateXML: call(185, { dom: domain, xml, flags }, { snapshot }),
  DomainSnapshotDelete: call(193, { snapshot, flags }, none),
  DomainBlockJobAbort: call(237, { dom: domain, path: string, flags }, none),
  /** `current` and `end` have a unit only the job knows; their ratio is the progress. */
  DomainGetBlockJobInfo: call(
    238,
    { dom: domain, path: string, flags },
    { found: i32, type: i32, bandwidth: u64, current: size, end: size },
  ),
  DomainBlockJobSetSpeed: call(239, { dom: domain, path: string, bandwidth: u64, flags }, none),
  DomainBlockPull: call(240, { dom: domain, path: string, bandwidth: u64, flags }, none),
  DomainBlockRebase: call(
    266,
    { dom: domain, path: string, base: optional(string), bandwidth: u64, flags },
    none,
  ),
  DomainListAllSnapshots: call(
    274,
    { dom: domain, needResults: i32, flags },
    { snapshots: list(snapshot, 16_384), count: i32 },
  ),
  DomainBlockCommit: call(
    290,
    {
      dom: domain,
      disk: string,
      base: optional(string),
      top: optional(string),
      bandwidth: u64,
      flags,
    },
    none,
  ),
  DomainBlockCopy: call(
    345,
    { dom: domain, path: string, destXml: xml, params: typedParams(16), flags },
    none,
  ),
  DomainCheckpointCreateXML: call(411, { dom: domain, xml, flags }, { checkpoint }),
  DomainCheckpointGetXMLDesc: call(412, { checkpoint, flags }, { xml }),
  DomainListAllCheckpoints: call(
    413,
    { dom: domain, needResults: i32, flags },
    { checkpoints: list(checkpoint, 16_384), count: i32 },
  ),
  DomainCheckpointLookupByName: call(415, { dom: domain, name: string, flags }, { checkpoint }),
  DomainCheckpointDelete: call(417, { checkpoint, flags }, none),
  DomainBackupBegin: call(
    421,
    { dom: domain, backupXml: xml, checkpointXml: optional(xml), flags },
    none,
  ),
  DomainBackupGetXMLDesc: call(422, { dom: domain, flags }, { xml }),
} as const;

/** Storage pools and volumes; sizes in bytes. */
const storageCalls = {
  StoragePoolCreateXML: call(76, { xml, flags }, { pool }),
  StoragePoolDefineXML: call(77, { xml, flags }, { pool }),
  StoragePoolCreate: call(78, { pool, flags }, none),
  StoragePoolBuild: call(79, { pool, flags }, none),
  StoragePoolDestroy: call(80, { pool }, none),
  StoragePoolUndefine: call(82, { pool }, none),
  StoragePoolRefresh: call(83, { pool, flags }, none),
  StoragePoolLookupByName: call(84, { name: string }, { pool }),
  StoragePoolLookupByUUID: call(85, { uuid }, { pool }),
  StoragePoolLookupByVolume: call(86, { vol: volume }, { pool }),
  StoragePoolGetInfo: call(
    87,
    { pool },
    { state: u32, capacity: size, allocation: size, available: size },
  ),
  StoragePoolGetXMLDesc: call(88, { pool, flags }, { xml }),
  StorageVolCreateXML: call(93, { pool, xml, flags }, { vol: volume }),
  StorageVolDelete: call(94, { vol: volume, flags }, none),
  StorageVolLookupByName: call(95, { pool, name: string }, { vol: volume }),
  StorageVolLookupByKey: call(96, { key: string }, { vol: volume }),
  StorageVolLookupByPath: call(97, { path: string }, { vol: volume }),
  StorageVolGetInfo: call(98, { vol: volume }, { type: i32, capacity: size, allocation: size }),
  StorageVolGetXMLDesc: call(99, { vol: volume, flags }, { xml }),
  StorageVolGetPath: call(100, { vol: volume }, { path: string }),
  StorageVolUpload: call(208, { vol: volume, offset: size, length: size, flags }, none),
  StorageVolDownload: call(209, { vol: volume, offset: size, length: size, flags }, none),
  StorageVolResize: call(260, { vol: volume, capacity: size, flags }, none),
  ConnectListAllStoragePools: call(
    281,
    { needResults: i32, flags },
    { pools: list(pool, 4096), count: u32 },
  ),
  StoragePoolListAllVolumes: call(
    282,
    { pool, needResults: i32, flags },
    { vols: list(volume, 16_384), count: u32 },
  ),
  StorageVolGetInfoFlags: call(
    378,
    { vol: volume, flags },
    { type: i32, capacity: size, allocation: size },
  ),
} as const;

/** Networks and secrets. */
const networkAndSecretCalls = {
  NetworkGetXMLDesc: call(43, { net: network, flags }, { xml }),
  NetworkGetBridgeName: call(45, { net: network }, { name: string }),
  NetworkLookupByName: call(46, { name: string }, { net: network }),
  NetworkLookupByUUID: call(47, { uuid }, { net: network }),
  NetworkIsActive: call(152, { net: network }, { active: i32 }),
  ConnectListAllNetworks: call(
    283,
    { needResults: i32, flags },
    { nets: list(network, 16_384), count: u32 },
  ),
  SecretLookupByUUID: call(141, { uuid }, { secret }),
  SecretDefineXML: call(142, { xml, flags }, { secret }),
  SecretGetXMLDesc: call(143, { secret, flags }, { xml }),
  SecretSetValue: call(144, { secret, value: bytes(65_536), flags }, none),
  SecretUndefine: call(146, { secret }, none),
  ConnectListAllSecrets: call(
    287,
    { needResults: i32, flags },
    { secrets: list(secret, 16_384), count: u32 },
  ),
} as const;

/** Registering for events; the typed way is `connection.onEvent`. */
const eventCalls = {
  ConnectDomainEventCallbackRegisterAny: call(
    316,
    { eventId: i32, dom: optional(domain) },
    { callbackId: i32 },
  ),
  ConnectDomainEventCallbackDeregisterAny: call(317, { callbackId: i32 }, none),
} as const;

/** Every call that this client knows, by name. */
export const procedures = {
  ...hostCalls,
  ...domainCalls,
  ...migrationCalls,
  ...blockCalls,
  ...storageCalls,
  ...networkAndSecretCalls,
  ...eventCalls,
} as const;

export type ProcedureName = keyof typeof procedures;

/** The arguments of a call. */
export type ArgsOf<N extends ProcedureName> =
  (typeof procedures)[N] extends Procedure<infer A, Fields> ? StructOf<A> : never;

/** The results of a call; an empty object for those that only succeed. */
export type ResultOf<N extends ProcedureName> =
  (typeof procedures)[N] extends Procedure<Fields, infer R> ? StructOf<R> : never;

/** A call's codecs, with its types tied to its name. */
export interface WireCall<N extends ProcedureName> {
  readonly number: number;
  readonly args: Codec<ArgsOf<N>>;
  readonly result: Codec<ResultOf<N>>;
}

/** The table's row of a call. */
export function wireCallOf<N extends ProcedureName>(name: N): WireCall<N> {
  return procedures[name] as unknown as WireCall<N>;
}
