/** What the commands about foreign platforms and imports print with `-o json`. */
import { z } from 'zod';
import { ForeignKind } from '../../domain/foreign.ts';
import type {
  ForeignDisk,
  ForeignNic,
  ForeignVm,
  ForeignVmSummary,
  GuestInterface,
} from '../../domain/foreign.ts';
import { ImportPhase, importStepNames } from '../../domain/import.ts';
import type {
  AddressWish,
  ConversionReport,
  ConversionStage,
  ImportedDisk,
  ImportPlan,
  ImportReport,
  ImportRequest,
  ImportShape,
  ImportStatus,
  ImportStep,
  PlannedImportDisk,
  PlannedImportNic,
} from '../../domain/import.ts';
import type {
  RehearsalCheck,
  RehearsalReport,
  RehearsalWish,
} from '../../domain/import/rehearsal.ts';
import type { UseLine } from '../../domain/import/use.ts';
import { VmState } from '../../domain/vm.ts';
import type {
  ForeignLook,
  ProviderList,
  ProviderState,
  V2vForecast,
  V2vForecastLine,
} from '../ferry.ts';
import { progress, stepShape, wayShape } from './move.ts';
import {
  bytes,
  concern,
  count,
  fault,
  flag,
  milliseconds,
  text,
  time,
  unreachable,
  vm,
} from './parts.ts';
import type { ShapeOf } from './parts.ts';

const kind = z.enum(Object.values(ForeignKind));
const state = z.enum(Object.values(VmState));
const format = z.enum(['raw', 'qcow2']);
const bus = z.enum(['virtio-scsi', 'virtio-blk', 'sata', 'ide']);
const network = z.templateLiteral([z.enum(['bridge', 'network']), ':', z.string()]);
const unknownZero = bytes.meta({ description: 'Bytes; 0 if not known.' });

const provider: z.ZodType<ProviderState> = z.strictObject({
  host: text.meta({ description: 'The conversion host that knows it.' }),
  name: text,
  kind,
  address: text,
  reachable: flag.exactOptional(),
  trouble: text.exactOptional(),
} satisfies ShapeOf<ProviderState>);

/** `providers` */
export const providerList: z.ZodType<ProviderList> = z.strictObject({
  providers: z.array(provider),
  unreachable,
} satisfies ShapeOf<ProviderList>);

const summary: z.ZodType<ForeignVmSummary> = z.strictObject({
  id: text,
  name: text,
  state,
  memoryBytes: bytes,
  cpus: count,
  diskBytes: unknownZero,
  path: text,
} satisfies ShapeOf<ForeignVmSummary>);

/** `vms --provider` */
export const foreignVms = z.strictObject({ provider: text, vms: z.array(summary) });

/** `save-ova` */
export const savedOva = z.strictObject({
  provider: text,
  file: text,
  path: text,
  sizeBytes: bytes,
  vms: z.array(
    z.strictObject({ id: text, name: text, memoryBytes: bytes, cpus: count, diskBytes: bytes }),
  ),
});

const disk: z.ZodType<ForeignDisk> = z.strictObject({
  key: text,
  path: text,
  capacityBytes: bytes,
  allocationBytes: unknownZero,
  bus: text,
  unit: z.strictObject({ controller: z.number(), unit: z.number() }),
  independent: flag,
  shared: flag,
  raw: flag,
  encrypted: flag,
  boot: flag.exactOptional(),
} satisfies ShapeOf<ForeignDisk>);

const nic: z.ZodType<ForeignNic> = z.strictObject({
  key: text,
  mac: text,
  network: text,
  model: text,
  connected: flag,
} satisfies ShapeOf<ForeignNic>);

const guestInterface: z.ZodType<GuestInterface> = z.strictObject({
  mac: text,
  name: text,
  addresses: z.array(
    z.strictObject({
      address: text,
      prefix: count,
      origin: z.enum(['static', 'dhcp', 'linklayer', 'unknown']),
    }),
  ),
  gateways: z.array(text),
  dns: z.array(text),
  searchDomains: z.array(text),
} satisfies ShapeOf<GuestInterface>);

const foreignVm: z.ZodType<ForeignVm> = z.strictObject({
  id: text,
  name: text,
  state,
  memoryBytes: bytes,
  cpus: count,
  path: text,
  kind,
  uuid: text,
  arch: text,
  coresPerSocket: count,
  firmware: z.enum(['bios', 'uefi']),
  secureBoot: flag,
  tpm: flag,
  guestOs: text,
  guestFamily: z.enum(['linux', 'windows', 'other']),
  disks: z.array(disk),
  nics: z.array(nic),
  cdroms: z.array(text),
  snapshots: z.array(text),
  guestNetwork: z.array(guestInterface),
  fixedDevices: z.array(text),
} satisfies ShapeOf<ForeignVm>);

/** `inspect` */
export const foreignLook: z.ZodType<ForeignLook> = z.strictObject({
  provider: text,
  conversionHost: text,
  vm: foreignVm,
  concerns: z.array(concern),
} satisfies ShapeOf<ForeignLook>);

const given = {
  addresses: z.array(text).meta({ description: 'With prefixes: 198.51.100.20/24.' }),
  gateways: z.array(text).exactOptional(),
  dns: z.array(text).exactOptional(),
};

const addressWish: z.ZodType<AddressWish> = z.strictObject({
  key: text,
  ...given,
} satisfies ShapeOf<AddressWish>);

const shape: z.ZodType<ImportShape> = z.strictObject({
  name: text.exactOptional(),
  cpus: count.exactOptional(),
  memoryBytes: bytes.exactOptional(),
  disks: z.array(text).exactOptional(),
  nics: z.array(z.strictObject({ key: text, mac: text.exactOptional() })).exactOptional(),
  volumes: z.array(z.strictObject({ key: text, name: text })).exactOptional(),
  system: z.enum(['linux', 'windows', 'other']).exactOptional(),
  addresses: z.array(addressWish).exactOptional(),
  newMacs: flag.exactOptional(),
  tpm: flag.exactOptional(),
  secureBoot: flag.exactOptional(),
  bus: bus.exactOptional(),
  domainType: z.enum(['kvm', 'qemu']).exactOptional(),
} satisfies ShapeOf<ImportShape>);

const check: z.ZodType<RehearsalCheck> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('auto') }),
  z.strictObject({ kind: z.literal('agent') }),
  z.strictObject({ kind: z.literal('console'), pattern: text }),
  z.strictObject({ kind: z.literal('port'), address: text, port: count }),
  z.strictObject({ kind: z.literal('command'), name: text }),
]);

const rehearse: z.ZodType<RehearsalWish> = z.strictObject({
  check,
  limitMs: milliseconds.exactOptional(),
  only: flag.meta({ description: 'Nothing comes to a target.' }),
} satisfies ShapeOf<RehearsalWish>);

const request: z.ZodType<ImportRequest> = z.strictObject({
  provider: text,
  vm: text,
  conversionHost: text,
  to: text,
  running: z.enum(['shutdown', 'shutdown-or-force-off', 'force-off', 'pause', 'leave']),
  shutdownTimeoutMs: milliseconds,
  restartSource: flag,
  convert: z.enum(['yes', 'no']),
  root: text.exactOptional(),
  networks: z.record(text, network),
  defaultNetwork: network.exactOptional(),
  storage: z.strictObject({
    pool: text,
    format,
    byDisk: z.record(text, text).exactOptional(),
  }),
  shape,
  autoStart: flag,
  autoCommit: flag,
  verify: z.enum(['full', 'off']),
  bandwidthBytesPerSecond: bytes,
  cacheSeconds: count,
  compressCache: flag.exactOptional(),
  operator: text,
  luksKeys: z.array(z.strictObject({ device: text, reference: text })).exactOptional(),
  rehearse: rehearse.exactOptional(),
} satisfies ShapeOf<ImportRequest>);

const plannedDisk: z.ZodType<PlannedImportDisk> = z.strictObject({
  key: text,
  name: text,
  capacityBytes: bytes,
  targetPool: text,
  targetVolume: text,
  targetPath: text,
  targetFormat: format,
  targetKind: z.enum(['file', 'block', 'network']),
} satisfies ShapeOf<PlannedImportDisk>);

const plannedNic: z.ZodType<PlannedImportNic> = z.strictObject({
  key: text,
  mac: text,
  network,
  set: z.strictObject(given).exactOptional(),
} satisfies ShapeOf<PlannedImportNic>);

const plan: z.ZodType<ImportPlan> = z.strictObject({
  name: text,
  uuid: text,
  clone: flag,
  domainType: z.enum(['kvm', 'qemu']),
  machine: z.enum(['q35', 'pc']),
  disks: z.array(plannedDisk),
  nics: z.array(plannedNic),
  cpus: count,
  memoryBytes: bytes,
  converted: flag,
  bus,
  secureBoot: flag,
  tpm: flag,
} satisfies ShapeOf<ImportPlan>);

const forecastLine: z.ZodType<V2vForecastLine> = z.strictObject({
  vm: foreignVm,
  request,
  plan: plan.exactOptional(),
  concerns: z.array(concern),
} satisfies ShapeOf<V2vForecastLine>);

const use: z.ZodType<UseLine> = z.strictObject({
  host: text,
  what: z.enum(['cpus', 'memory', 'storage', 'addresses']),
  of: text,
  wanted: count,
  wantedMost: count,
  available: count.exactOptional(),
  fits: flag.exactOptional(),
} satisfies ShapeOf<UseLine>);

/** `v2v --dry-run`, and `v2v` that was refused. */
export const v2vForecast: z.ZodType<V2vForecast> = z.strictObject({
  imports: z.array(forecastLine),
  use: z.array(use).meta({ description: 'Expected use of each target against what it has.' }),
  concerns: z.array(concern).meta({ description: 'Against all imports together.' }),
} satisfies ShapeOf<V2vForecast>);

const phase = z.enum(Object.values(ImportPhase)).meta({ id: 'import-phase' });

const stepName = z.enum(importStepNames);

const step: z.ZodType<ImportStep> = z.strictObject({
  name: stepName,
  ...stepShape,
} satisfies ShapeOf<ImportStep>);

const importedDisk: z.ZodType<ImportedDisk> = z.strictObject({
  key: text,
  name: text,
  capacityBytes: bytes,
  bytesCopied: bytes,
  bytesRecopied: bytes,
  bytesFromCache: bytes,
  copyVerified: flag.exactOptional(),
  bytesTransferred: bytes,
  sourceHash: text.exactOptional(),
  targetHash: text.exactOptional(),
  verified: flag,
  restarted: text.exactOptional(),
  way: text.exactOptional(),
} satisfies ShapeOf<ImportedDisk>);

const conversion: z.ZodType<ConversionReport> = z.strictObject({
  warnings: z.array(text),
  notes: z.array(text),
  virtio: flag.exactOptional(),
  logPath: text,
  elapsedMs: milliseconds,
  already: flag,
} satisfies ShapeOf<ConversionReport>);

const rehearsal: z.ZodType<RehearsalReport> = z.strictObject({
  outcome: z.enum(['proved', 'unproved']),
  check: z.enum(['auto', 'agent', 'console', 'port', 'command']),
  saw: text,
  elapsedMs: milliseconds,
  emulated: flag,
  console: z.array(text).meta({ description: 'Last lines of the serial console.' }),
} satisfies ShapeOf<RehearsalReport>);

/** Orders to an import: how it rests or ended. */
export const importReport: z.ZodType<ImportReport> = z
  .strictObject({
    id: text,
    runId: text,
    kind: z.literal('import'),
    vm,
    foreign: z.strictObject({ provider: text, id: text, name: text, kind: kind.exactOptional() }),
    conversionHost: text,
    target: text,
    operator: text,
    clone: flag.exactOptional(),
    phase,
    parkedIn: phase.exactOptional(),
    steps: z.array(step),
    concerns: z.array(concern),
    disks: z.array(importedDisk),
    oneRunning: z.enum(['observed', 'none']),
    sourceRunning: flag,
    targetRunning: flag,
    conversion: conversion.exactOptional(),
    rehearsal: rehearsal.exactOptional(),
    waitsFor: text
      .exactOptional()
      .meta({ description: 'Why it stands still, with nothing for a person to do.' }),
    cachedUntil: time.exactOptional(),
    ...wayShape,
  } satisfies ShapeOf<ImportReport>)
  .meta({ id: 'import-report' });

const stage: z.ZodType<ConversionStage> = z.strictObject({
  stage: text,
  percent: z.number().exactOptional(),
  elapsedMs: milliseconds,
} satisfies ShapeOf<ConversionStage>);

/** `status ID` of an import, and each line of `status ID --watch`. */
export const importStatus: z.ZodType<ImportStatus> = z.strictObject({
  report: importReport,
  progress: z.array(progress),
  conversion: stage.exactOptional(),
} satisfies ShapeOf<ImportStatus>);

export { phase as importPhase, stepName as importStepName };

/** `v2v`: each import with its report, or why it could not begin; without reports with `--detach`. */
export const v2vOutcome = z.strictObject({
  imports: z.array(
    z.strictObject({
      id: text,
      name: text,
      report: importReport.exactOptional(),
      fault: fault.exactOptional(),
    }),
  ),
});
