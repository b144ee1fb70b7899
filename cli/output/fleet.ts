/** What the commands about hosts and VMs print with `-o json`. */
import { z } from 'zod';
import type { HostFacts, NumaNode } from '../../domain/host.ts';
import type {
  ConversionDeed,
  ConversionInForce,
  ConversionRole,
  ConversionState,
} from '../../domain/hosts/conversion.ts';
import type { HostReading } from '../../domain/hosts/reading.ts';
import type {
  HostLimits,
  HostSettings,
  HostState,
  InSlot,
  SlotHolder,
} from '../../domain/hosts/state.ts';
import type { PlacementPool, Reservation } from '../../domain/placement/host.ts';
import type { OrphanLine, OrphanOutcome } from '../../domain/orphans.ts';
import { VmState } from '../../domain/vm.ts';
import type { VmSummary } from '../../domain/vm.ts';
import type { LedgerListing } from '../../guard/ledger.ts';
import type { Finding } from '../checks.ts';
import type { HostLine, OpenMove, VersionLine, VersionList } from '../ferry.ts';
import { bytes, count, flag, ledgerEntry, text, time, unreachable, vm } from './parts.ts';
import type { ShapeOf } from './parts.ts';

const vmLine: z.ZodType<VmSummary> = z.strictObject({
  host: text,
  uuid: text,
  name: text,
  state: z.enum(Object.values(VmState)),
  memoryBytes: bytes,
  vcpus: count,
  diskBytes: bytes,
  ownership: text.exactOptional(),
} satisfies ShapeOf<VmSummary>);

/** `vms` */
export const vmList = z.strictObject({ vms: z.array(vmLine), unreachable });

const numa = z
  .array(z.strictObject({ cpus: count, memoryBytes: bytes } satisfies ShapeOf<NumaNode>))
  .meta({ description: 'NUMA nodes.' });
const load = z.number().nonnegative().meta({ description: 'Load average of five minutes.' });

const facts: z.ZodType<HostFacts> = z.strictObject({
  name: text,
  hostname: text,
  hostUuid: text,
  libvirtVersion: text,
  hypervisorVersion: text,
  memoryBytes: bytes,
  freeMemoryBytes: bytes,
  cpus: count,
  numa: numa.exactOptional(),
  load: load.exactOptional(),
  arch: text,
  machines: z.array(text),
  pools: z.array(
    z.looseObject({
      name: text,
      type: text,
      active: flag,
      path: text,
      capacityBytes: bytes,
      availableBytes: bytes,
    }),
  ),
  networks: z.array(text),
  bridges: z.array(text),
  vms: z.array(
    z.strictObject({
      uuid: text,
      name: text,
      running: flag,
      macs: z.array(text),
      diskPaths: z.array(text),
    }),
  ),
  guard: z.strictObject({ hookLive: flag, detail: text }),
  migrationAddress: text,
  version: text,
} satisfies ShapeOf<HostFacts>);

const perSecond = bytes.meta({ description: 'Bytes a second; 0 is none.' });

const limits: z.ZodType<HostLimits> = z.strictObject({
  movesIn: count,
  movesOut: count,
  upBytesPerSecond: perSecond.exactOptional(),
  downBytesPerSecond: perSecond.exactOptional(),
} satisfies ShapeOf<HostLimits>);

const holder = {
  moveId: text,
  workflowId: text,
  runId: text.exactOptional(),
  vm: text.meta({ description: 'Name of the VM.' }),
  since: time,
} satisfies ShapeOf<SlotHolder>;

const reservation = z.strictObject({
  moveId: text,
  memoryBytes: bytes,
  vcpus: count,
  pools: z.array(z.strictObject({ pool: text, bytes })),
  groups: z.array(text),
} satisfies ShapeOf<Reservation>);

const reading: z.ZodType<HostReading> = z.strictObject({
  hostUuid: text,
  arch: text,
  machines: z.array(text),
  cpus: count,
  numa: numa.exactOptional(),
  load: load.exactOptional(),
  memoryBytes: bytes,
  freeMemoryBytes: bytes,
  networks: z.array(text),
  bridges: z.array(text),
  cpuModels: z.array(text).exactOptional(),
  firmwares: z.array(text).exactOptional(),
  runningVms: count,
  runningVcpus: count,
  groups: z.record(text, count).meta({ description: 'VMs of each group.' }),
  pools: z.array(
    z.strictObject({
      name: text,
      type: text,
      active: flag,
      path: text,
      capacityBytes: bytes,
      availableBytes: bytes,
      store: text.exactOptional(),
    } satisfies ShapeOf<PlacementPool>),
  ),
  vms: count.meta({ description: 'VMs that are defined or run.' }),
  libvirtVersion: text,
  hypervisorVersion: text,
  bandwidth: z.strictObject({ upBytesPerSecond: perSecond, downBytesPerSecond: perSecond }),
  readAt: time,
} satisfies ShapeOf<HostReading>);

const rates = { upBytesPerSecond: perSecond, downBytesPerSecond: perSecond };

/** What people set of a conversion host, in a host and in a line of `conversion-hosts`. */
export const conversionState: z.ZodType<ConversionState> = z.strictObject({
  role: z.strictObject({
    given: flag,
    enabled: flag,
    upBytesPerSecond: perSecond.exactOptional(),
    downBytesPerSecond: perSecond.exactOptional(),
    parallel: count.exactOptional(),
  } satisfies ShapeOf<ConversionRole>),
  inForce: z
    .strictObject({
      takesImports: flag,
      ...rates,
      parallel: count,
    } satisfies ShapeOf<ConversionInForce>)
    .meta({ description: 'What its worker holds to.' })
    .exactOptional(),
  trouble: text.exactOptional(),
  deeds: z
    .array(
      z.strictObject({ at: time, operator: text, what: text } satisfies ShapeOf<ConversionDeed>),
    )
    .meta({ description: 'Who did what, the newest last; 50 at most.' }),
} satisfies ShapeOf<ConversionState>);

/** `hosts enable`, `hosts disable`, `hosts set`; `state` of a host in a list. */
export const hostState: z.ZodType<HostState> = z.strictObject({
  settings: z.strictObject({
    enabled: flag,
    draining: flag,
    labels: z.record(text, text),
    limits,
    migrationAddress: text.exactOptional(),
    vcpuRatio: z.number(),
  } satisfies ShapeOf<HostSettings>),
  reading: reading
    .meta({ description: 'What its worker last told; absent before it first did.' })
    .exactOptional(),
  movesIn: z.array(
    z.strictObject({
      ...holder,
      reservation,
      waits: z.literal(true).exactOptional(),
      arrived: time.exactOptional(),
    } satisfies ShapeOf<InSlot>),
  ),
  movesOut: z.array(z.strictObject(holder)),
  bandwidth: z
    .strictObject({ upBytesPerSecond: perSecond, downBytesPerSecond: perSecond })
    .meta({ description: 'What its worker holds to.' })
    .exactOptional(),
  bandwidthTrouble: text.exactOptional(),
  conversion: conversionState
    .meta({ description: 'As a conversion host; absent while no person changed anything of that.' })
    .exactOptional(),
  changed: z.strictObject({ operator: text, at: time }).exactOptional(),
} satisfies ShapeOf<HostState>);

const hostLine: z.ZodType<HostLine> = z.strictObject({
  name: text,
  online: flag,
  announcement: z
    .strictObject({ name: text, version: text, migrationAddress: text, startedAt: time })
    .exactOptional(),
  state: hostState.exactOptional(),
  facts: facts.exactOptional(),
  trouble: text.exactOptional(),
} satisfies ShapeOf<HostLine>);

/** `hosts`; `facts` with `--facts`. */
export const hostList = z.array(hostLine);

/** `hosts show` */
export const hostShown = hostLine;

const openMoves = z.array(
  z.strictObject({ id: text, vmName: text, phase: text } satisfies ShapeOf<OpenMove>),
);

/** `versions` */
export const versionList: z.ZodType<VersionList> = z.strictObject({
  versions: z.array(
    z.strictObject({
      version: text,
      current: flag.meta({ description: 'Whether new moves go to it.' }),
      online: flag.meta({ description: 'Whether a worker of it has polled lately.' }),
      moves: openMoves.meta({ description: 'They need a worker of it until they are over.' }),
    } satisfies ShapeOf<VersionLine>),
  ),
  waiting: openMoves.meta({ description: 'No worker has taken them up yet.' }),
} satisfies ShapeOf<VersionList>);

const finding: z.ZodType<Finding> = z.strictObject({
  check: text,
  state: z.enum(['good', 'bad', 'unknown']),
  detail: text,
  remedy: text.exactOptional(),
} satisfies ShapeOf<Finding>);

/** `doctor` */
export const findings = z.array(finding);

/** `guard show` */
export const ledgerListing: z.ZodType<LedgerListing> = z.strictObject({
  entries: z.array(ledgerEntry),
  corrupt: z.array(z.strictObject({ uuid: text, file: text, reason: text })),
} satisfies ShapeOf<LedgerListing>);

const server = z.strictObject({ clusterId: text, namespaceId: text });

const orphan: z.ZodType<OrphanLine> = z.strictObject({
  id: text,
  host: text,
  kind: z.enum(['volume', 'vm', 'folder', 'export', 'state']),
  what: text,
  moveId: text,
  migrationId: text,
  vm,
  since: time,
  why: text,
  remedy: text,
  server: server.exactOptional(),
  volume: z
    .strictObject({
      pool: text,
      name: text,
      kind: z.enum(['file', 'block', 'network']),
      format: z.enum(['raw', 'qcow2']),
      identity: text,
      knownBefore: flag,
    })
    .exactOptional(),
  sizeBytes: bytes,
  usedBy: z.array(text),
  removable: flag,
} satisfies ShapeOf<OrphanLine>);

/** `orphans` */
export const orphanList = z.strictObject({ orphans: z.array(orphan), unreachable });

/** `orphans remove`, `orphans keep` */
export const orphanOutcome: z.ZodType<OrphanOutcome> = z.strictObject({
  id: text,
  what: text,
  done: z.enum(['removed', 'kept']),
} satisfies ShapeOf<OrphanOutcome>);
