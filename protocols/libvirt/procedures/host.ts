import {
  bool,
  charArray,
  chars,
  flags,
  i32,
  list,
  optional,
  size,
  string,
  struct,
  u64,
} from '../codec.ts';
import { call } from './call.ts';

const xml = string;
const none = {};
const saslData = chars(65_536);
const nodeStats = list(struct({ field: string, value: size }), 16);
const cpuArgs = {
  emulator: optional(string),
  arch: optional(string),
  machine: optional(string),
  virtType: optional(string),
};

/** Calls that concern the connection and the host. */
export const hostCalls = {
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
  /** `nil` says that there is no data, which for SASL is not the same as none. */
  AuthSaslStart: call(
    68,
    { mechanism: string, nil: bool, data: saslData },
    { complete: i32, nil: bool, data: saslData },
  ),
  AuthSaslStep: call(
    69,
    { nil: bool, data: saslData },
    { complete: i32, nil: bool, data: saslData },
  ),
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
