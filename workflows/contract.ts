/**
 * The names that cross process borders: workflow types, IDs, queues, signals, updates, queries, search attributes.
 * Both the client and the workflows import this file; nothing else of `workflows/` is public.
 */
import {
  defineSearchAttributeKey,
  SearchAttributeType,
  TypedSearchAttributes,
} from '@temporalio/common';
import type { HostFacts } from '../domain/host.ts';
import type { HostLimits, HostState } from '../domain/hosts/state.ts';
import type { LiveProgress } from '../domain/live.ts';
import type { PlaceAnswer } from '../activities/control/contract.ts';
import type { DrainLine, DrainRequest } from '../domain/drain/drain.ts';
import type { Fault } from '../domain/errors.ts';
import { ImportPhase } from '../domain/import.ts';
import type { ImportRequest } from '../domain/import.ts';
import type { UsageSpan } from '../domain/import/usage.ts';
import { Phase } from '../domain/move.ts';
import type { DiskProgress, MoveReport, MoveRequest } from '../domain/move.ts';
import type { OrphanLine } from '../domain/orphans.ts';
import type { PlacementWishes } from '../domain/placement/choose.ts';
import type { Reservation, Supposed } from '../domain/placement/host.ts';
import type { PlacementNote } from '../domain/placement/note.ts';
import type { VmSummary } from '../domain/vm.ts';

export type { MoveLiveResult } from '../activities/contract.ts';
export type {
  CachedDisk,
  ForeignCheck,
  ImportHeartbeat,
  ImportTargetCheck,
  InspectForeignInput,
  InspectForeignResult,
  ListForeignInput,
  ListForeignResult,
} from '../activities/import/contract.ts';
export type { PlaceAnswer } from '../activities/control/contract.ts';

export const controlQueue = 'vmferry.control';
export const hostQueue = (host: string): string => `vmferry.host.${host}`;

export const workflowTypes = {
  migrateVm: 'migrateVm',
  inspectVm: 'inspectVm',
  findVm: 'findVm',
  inspectHost: 'inspectHost',
  listVms: 'listVms',
  host: 'host',
  listOrphans: 'listOrphans',
  settleOrphan: 'settleOrphan',
  dryRun: 'dryRun',
  place: 'place',
  drain: 'drain',
  /** `ImportVmInput` -> `ImportReport`. */
  importVm: 'importVm',
  /** `ImportVmInput` -> `ImportForecast`; touches nothing. */
  forecastImport: 'forecastImport',
  /** `ListForeignInput & AtConversionHost` -> `ListForeignResult`. */
  listForeign: 'listForeign',
  /** `InspectForeignInput & AtConversionHost` -> `InspectForeignResult`. */
  inspectForeign: 'inspectForeign',
  /** `AtConversionHost` -> `ConversionHostFacts`, with its providers. */
  conversionFacts: 'conversionFacts',
  /** `ConversionUsageInput` -> `UsageOverTime`. */
  conversionUsage: 'conversionUsage',
  /** `DropCacheInput` -> nothing: what an import that is over left in the cache. */
  dropCache: 'dropCache',
} as const;

/** One workflow a VM: a second move of the same VM cannot start. */
export const moveId = (cluster: string, uuid: string): string => `migrate/${cluster}/${uuid}`;
/** Whether a workflow is the move of a VM: imports and drains have places on hosts, too. */
export const isMoveId = (id: string): boolean => id.startsWith('migrate/');
/** A dry run has an ID of its own: it may run beside a move, and beside another. */
export const dryRunId = (cluster: string, uuid: string, nonce: string): string =>
  `dry-run/${cluster}/${uuid}/${nonce}`;
export const hostId = (cluster: string, host: string): string => `host/${cluster}/${host}`;
/** One drain a host: a second one is the first. */
export const drainId = (cluster: string, host: string): string => `drain/${cluster}/${host}`;

/** One workflow a foreign VM: a second import of it cannot start while one is under way. */
export const importId = (cluster: string, provider: string, vm: string): string =>
  `import/${cluster}/${provider}/${encodeURIComponent(vm)}`;
/** Of what drops the cache that a run left: whether it was done is asked by it. */
export const importDiscardId = (id: string, runId: string): string => `discard/${id}/${runId}`;
export const importForecastId = (id: string, nonce: string): string => `forecast/${id}/${nonce}`;

export interface ImportVmInput {
  cluster: string;
  /** Resolved by the client through `inspectForeign`; empty UUID if the platform has none. */
  vm: { id: string; name: string; uuid?: string };
  request: ImportRequest;
}

/** Whom a workflow that only reads foreign platforms asks. */
export interface AtConversionHost {
  host: string;
}

export interface ConversionUsageInput extends AtConversionHost {
  span: UsageSpan;
}

export interface DropCacheInput extends AtConversionHost {
  provider: string;
  vm: { id: string; name: string };
}

export interface MigrateVmInput {
  cluster: string;
  /** Resolved by the client through `findVm`, so that the workflow's ID names the VM. */
  vm: { name: string; uuid: string };
  /** Whether it ran when the client looked it up. */
  running: boolean;
  request: MoveRequest;
  /** How the target was chosen, where nobody named it; for the report. */
  placement?: PlacementNote;
  /** Address that the target's worker announced, for a live move; the source tries it before anything is touched. */
  targetAddress?: string;
  /** It waits after its checks for the word that it may go, for this long, ms; then it ends with nothing touched. */
  heldForMs?: number;
}

export interface HostInput {
  cluster: string;
  name: string;
}

/** What a host worker tells of itself when it starts. */
export interface HostAnnouncement {
  name: string;
  version: string;
  migrationAddress: string;
  /** ISO 8601, UTC. */
  startedAt: string;
}

/** One line of `vmferry hosts`. */
export interface HostLine {
  name: string;
  /** Whether a worker has polled its queue in the last minute or so. */
  online: boolean;
  announcement?: HostAnnouncement;
  /** What people set, what its worker last said, and the moves that have a place there; absent before any of these. */
  state?: HostState;
  /** Present if asked for and online. */
  facts?: HostFacts;
  /** Why there are no facts of a host that is online. */
  trouble?: string;
}

export interface ListVmsInput {
  hosts: string[];
}
export interface ListVmsResult {
  vms: VmSummary[];
  /** Hosts that did not answer in time, with the reason. */
  unreachable: { host: string; reason: string }[];
}

export interface ListOrphansResult {
  orphans: OrphanLine[];
  /** Hosts that did not answer in time, with the reason. */
  unreachable: { host: string; reason: string }[];
}

export const signalNames = {
  announce: 'announce',
  /** What a host's worker read of its host: `HostReading`. */
  reading: 'reading',
  /** Sent right before a move is cancelled, since a cancel itself carries no name: `CancelOrder`. */
  cancelling: 'cancelling',
  /** From a move to the workflow that started it: `MoveNews`. */
  moveNews: 'moveNews',
  /** To a drain: what failed or was left is tried once more. `DrainAgainOrder`. */
  drainAgain: 'drainAgain',
  /** From a drain to a move that it began ahead: its turn has come. */
  mayGo: 'mayGo',
  /** From a host's entity to the moves that have a place there: `HostLimitsNews`. */
  hostLimits: 'hostLimits',
} as const;

/** What one of a move's hosts takes from now on. */
export interface HostLimitsNews {
  host: string;
  limits: HostLimits;
}

/** That a move rests, or has its guest at the target. */
export interface MoveNews {
  /** The move's workflow ID. */
  id: string;
  phase: Phase;
  mode: MoveReport['mode'];
  fault?: Fault;
  /** The guest runs at the target, and the move's places on both hosts are free again; its end is to come. */
  arrived?: true;
}

export interface RollbackOrder {
  /** The target VM has run: its writes are lost by going back. Has to be said. */
  discardTargetWrites: boolean;
  operator: string;
}
export interface CommitOrder {
  operator: string;
}
/** Absent in the orders of older clients. */
export interface RetryOrder {
  operator: string;
}
export interface CancelOrder {
  operator: string;
}

/** Asks which host takes a VM. */
export interface PlaceVmInput {
  cluster: string;
  /** Where it is. */
  host: string;
  /** Name or UUID. */
  vm: string;
  request: Pick<MoveRequest, 'targetPool' | 'disks' | 'allocation' | 'storage' | 'sharedDisks'> &
    Partial<Pick<MoveRequest, 'autoStart'>>;
  wishes: PlacementWishes;
  /** Labels that the host has to have, beside those that the VM requires itself. */
  labels?: Readonly<Record<string, string>>;
  exclude?: readonly string[];
  supposed?: Supposed;
  /** Whether its room on the chosen host is promised to the VM's move. */
  reserve: boolean;
}

export interface PlaceVmResult {
  vm: Pick<VmSummary, 'name' | 'uuid' | 'host' | 'state'>;
  answer: PlaceAnswer;
}

/** With what its move would be promised, where something was supposed: whoever plans goes on with it. */
export interface PlannedPlace extends PlaceVmResult {
  takes?: Reservation;
}

export interface DrainAgainOrder {
  operator: string;
}

export interface DrainInput {
  cluster: string;
  host: string;
  request: DrainRequest;
  /** From an earlier run of the same drain. */
  carried?: { vms: DrainLine[]; startedAt: string };
}

/** What is absent stays as it is. */
export interface TuneOrder {
  operator: string;
  /** 0 is none. */
  bandwidthBytesPerSecond?: number;
  maxDowntimeMs?: number;
}

/** The last report of a move that is over; needs no worker to be read. */
export const memoNames = {
  report: 'report',
  /** Of a host: its `HostAnnouncement`. */
  announcement: 'announcement',
  /** Of a host: its `HostState`, so that a list of hosts needs no worker. */
  hostState: 'hostState',
  /** Of an import: UUIDs of the VM at its source and on its target, and its name there if it has another one. */
  alsoNamed: 'alsoNamed',
  /** Of an import from its start on: the name of its conversion host, so that a list of imports needs no worker. */
  conversionHost: 'conversionHost',
} as const;
export const queryNames = { report: 'report' } as const;
/** Updates: the answer tells whether the order was accepted, and if not why. */
export const updateNames = {
  commit: 'commit',
  rollback: 'rollback',
  retry: 'retry',
  /** New limits for a move that runs: `TuneOrder`. */
  tune: 'tune',
} as const;

/** Updates of a host's entity. What is refused is refused by their validators, and leaves nothing in its history. */
export const hostUpdateNames = {
  /** `HostOrder` -> `HostState`. */
  set: 'set',
  /** `ConversionOrder` -> `HostState`: of its role as a conversion host. */
  setConversion: 'setConversion',
  /** `SlotWish` -> `SlotAnswer`. */
  reserve: 'reserve',
  /** `SlotRelease` -> nothing. */
  release: 'release',
} as const;

export const searchAttributes = {
  vmName: 'VmName',
  sourceHost: 'SourceHost',
  targetHost: 'TargetHost',
  phase: 'Phase',
} as const;

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);

/** The same, to set and to read them by. */
export const moveKeys = {
  vmName: keyword(searchAttributes.vmName),
  sourceHost: keyword(searchAttributes.sourceHost),
  targetHost: keyword(searchAttributes.targetHost),
  phase: keyword(searchAttributes.phase),
} as const;

/** What a move is found by, and what Temporal's UI shows of it, from its start on; `cause` is for its details. */
export function labelsOfMove({ vm, request }: MigrateVmInput, cause: 'person' | 'drain') {
  const { from, to, live, operator } = request;
  const kind = live === undefined ? 'Cold' : 'Live';
  const why =
    cause === 'person' ? `asked for by ${operator}` : `of a drain that ${operator} asked for`;
  return {
    staticSummary: `${vm.name}: ${from} → ${to}`,
    staticDetails: `${kind} move of **${vm.name}** (${vm.uuid}) from ${from} to ${to}, ${why}`,
    typedSearchAttributes: new TypedSearchAttributes([
      { key: moveKeys.vmName, value: vm.name },
      { key: moveKeys.sourceHost, value: from },
      { key: moveKeys.targetHost, value: to },
      { key: moveKeys.phase, value: Phase.planned },
    ]),
  };
}

/** What an import is found by beside the foreign VM's name. */
export const otherNamesOf = (
  { vm, request }: Pick<ImportVmInput, 'vm' | 'request'>,
  uuid = '',
): string[] => {
  const uuids = [vm.uuid ?? '', uuid].map((one) => one.toLowerCase());
  const names = [...uuids, request.shape.name ?? ''];
  return [...new Set(names.filter((one) => one !== '' && one !== vm.name))];
};

/** As `labelsOfMove`; the source's host is the provider. */
export function labelsOfImport({ vm, request }: ImportVmInput) {
  const { provider, conversionHost, to, operator } = request;
  return {
    staticSummary: `${vm.name}: ${provider} → ${to}`,
    memo: {
      [memoNames.conversionHost]: conversionHost,
      [memoNames.alsoNamed]: otherNamesOf({ vm, request }),
    },
    staticDetails: `Import of **${vm.name}** (${vm.id}) from ${provider} by ${conversionHost} to ${to}, asked for by ${operator}`,
    typedSearchAttributes: new TypedSearchAttributes([
      { key: moveKeys.vmName, value: vm.name },
      { key: moveKeys.sourceHost, value: provider },
      { key: moveKeys.targetHost, value: to },
      { key: moveKeys.phase, value: ImportPhase.planned },
    ]),
  };
}

/** Details of a copy activity's heartbeat: for progress only, never for correctness. */
export interface CopyHeartbeat {
  disks: DiskProgress[];
}

/** Details of a live move's heartbeat. */
export interface LiveHeartbeat {
  live: LiveProgress;
}

/** `report` of a running move plus what only heartbeats know. */
export interface MoveStatus {
  report: MoveReport;
  progress: DiskProgress[];
  /** While a live migration runs. */
  live?: LiveProgress;
}
