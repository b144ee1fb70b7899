import { flags, i32, i64, list, optional, size, string, struct, u32, u64, uuid } from '../codec.ts';
import { domain } from '../types.ts';
import { typedParams } from '../typed-params.ts';
import { call } from './call.ts';

const xml = string;
const none = {};

/** Calls on a domain: find, define, start, stop, look. */
export const domainCalls = {
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
  DomainIsActive: call(150, { dom: domain }, { active: i32 }),
  DomainIsPersistent: call(151, { dom: domain }, { persistent: i32 }),
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
