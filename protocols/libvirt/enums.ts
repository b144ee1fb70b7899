/** The numbers of libvirt's flags and states, as the headers of 9.0 list them; they never change. */

/** virDomainState. */
export const DomainState = {
  nostate: 0,
  running: 1,
  blocked: 2,
  paused: 3,
  shutdown: 4,
  shutoff: 5,
  crashed: 6,
  pmsuspended: 7,
} as const;

/** virDomainRunningReason: why a domain runs. */
export const RunningReason = {
  unknown: 0,
  booted: 1,
  migrated: 2,
  restored: 3,
  fromSnapshot: 4,
  unpaused: 5,
  migrationCanceled: 6,
  saveCanceled: 7,
  wakeup: 8,
  crashed: 9,
  postcopy: 10,
  postcopyFailed: 11,
} as const;

/** virDomainPausedReason: why a domain is paused. */
export const PausedReason = {
  unknown: 0,
  user: 1,
  migration: 2,
  save: 3,
  dump: 4,
  ioerror: 5,
  watchdog: 6,
  fromSnapshot: 7,
  shuttingDown: 8,
  snapshot: 9,
  crashed: 10,
  startingUp: 11,
  postcopy: 12,
  postcopyFailed: 13,
} as const;

/** virDomainShutoffReason: why a domain is off. */
export const ShutoffReason = {
  unknown: 0,
  shutdown: 1,
  destroyed: 2,
  crashed: 3,
  migrated: 4,
  saved: 5,
  failed: 6,
  fromSnapshot: 7,
  daemon: 8,
} as const;

/** virDomainXMLFlags. `secure` (with passwords) is refused on a read-only connection. */
export const DomainXmlFlag = {
  secure: 0x1,
  inactive: 0x2,
  updateCpu: 0x4,
  migratable: 0x8,
} as const;

/** virConnectCompareCPUFlags. */
export const CompareCpuFlag = {
  /** Refused with CPU_INCOMPATIBLE, whose message names what is missing. */
  failIncompatible: 0x1,
} as const;

/** virDomainDefineFlags. */
export const DefineFlag = {
  validate: 0x1,
} as const;

/** virDomainUndefineFlagsValues. Without the matching one, undefining a domain that has such a thing fails. */
export const UndefineFlag = {
  managedSave: 0x1,
  snapshotsMetadata: 0x2,
  nvram: 0x4,
  keepNvram: 0x8,
  checkpointsMetadata: 0x10,
  tpm: 0x20,
  keepTpm: 0x40,
} as const;

/** virDomainCreateFlags, for a start. */
export const CreateFlag = {
  paused: 0x1,
  autodestroy: 0x2,
  bypassCache: 0x4,
  forceBoot: 0x8,
  validate: 0x10,
  resetNvram: 0x20,
} as const;

/** virDomainDestroyFlagsValues. */
export const DestroyFlag = {
  graceful: 0x1,
  removeLogs: 0x2,
} as const;

/** virDomainShutdownFlagValues. */
export const ShutdownFlag = {
  acpiPowerBtn: 0x1,
  guestAgent: 0x2,
  initctl: 0x4,
  signal: 0x8,
  paravirt: 0x10,
} as const;

/** virDomainModificationImpact: which of a domain's two definitions a change is for. */
export const AffectFlag = {
  current: 0x0,
  live: 0x1,
  config: 0x2,
} as const;

/** virDomainMetadataType. */
export const MetadataType = {
  description: 0,
  title: 1,
  element: 2,
} as const;

/** virConnectListAllDomainsFlags. */
export const ListDomainsFlag = {
  active: 0x1,
  inactive: 0x2,
  persistent: 0x4,
  transient: 0x8,
  running: 0x10,
  paused: 0x20,
  shutoff: 0x40,
  other: 0x80,
  managedsave: 0x100,
  noManagedsave: 0x200,
  autostart: 0x400,
  noAutostart: 0x800,
  hasSnapshot: 0x1000,
  noSnapshot: 0x2000,
  hasCheckpoint: 0x4000,
  noCheckpoint: 0x8000,
} as const;

/** virConnectListAllStoragePoolsFlags. */
export const ListPoolsFlag = {
  inactive: 0x1,
  active: 0x2,
  persistent: 0x4,
  transient: 0x8,
  autostart: 0x10,
  noAutostart: 0x20,
  dir: 0x40,
  fs: 0x80,
  netfs: 0x100,
  logical: 0x200,
  iscsi: 0x800,
  rbd: 0x4000,
  zfs: 0x20000,
} as const;

/** virConnectListAllNetworksFlags. */
export const ListNetworksFlag = {
  inactive: 0x1,
  active: 0x2,
  persistent: 0x4,
  transient: 0x8,
  autostart: 0x10,
  noAutostart: 0x20,
} as const;

/** virDomainMigrateFlags. */
export const MigrateFlag = {
  live: 0x1,
  peer2peer: 0x2,
  tunnelled: 0x4,
  persistDest: 0x8,
  undefineSource: 0x10,
  paused: 0x20,
  nonSharedDisk: 0x40,
  nonSharedInc: 0x80,
  changeProtection: 0x100,
  unsafe: 0x200,
  offline: 0x400,
  compressed: 0x800,
  abortOnError: 0x1000,
  autoConverge: 0x2000,
  rdmaPinAll: 0x4000,
  postcopy: 0x8000,
  tls: 0x10000,
  parallel: 0x20000,
  nonSharedSynchronousWrites: 0x40000,
  postcopyResume: 0x80000,
  zerocopy: 0x100000,
} as const;

/** The names of migration parameters (VIR_MIGRATE_PARAM_*); the type that each must have follows it. */
export const MigrateParam = {
  /** string */
  uri: 'migrate_uri',
  /** string */
  destinationName: 'destination_name',
  /** string */
  destinationXml: 'destination_xml',
  /** string */
  persistentXml: 'persistent_xml',
  /** u64, MiB/s */
  bandwidth: 'bandwidth',
  /** u64, MiB/s */
  bandwidthPostcopy: 'bandwidth.postcopy',
  /** string */
  graphicsUri: 'graphics_uri',
  /** string */
  listenAddress: 'listen_address',
  /** string, once for each disk target */
  migrateDisks: 'migrate_disks',
  /** i32 */
  disksPort: 'disks_port',
  /** string */
  disksUri: 'disks_uri',
  /** string, once for each method */
  compression: 'compression',
  /** u64, bytes */
  compressionXbzrleCache: 'compression.xbzrle.cache',
  /** i32, percent */
  autoConvergeInitial: 'auto_converge.initial',
  /** i32, percent */
  autoConvergeIncrement: 'auto_converge.increment',
  /** i32 */
  parallelConnections: 'parallel.connections',
  /** string */
  tlsDestination: 'tls.destination',
} as const;

/** virDomainJobType. */
export const JobType = {
  none: 0,
  bounded: 1,
  unbounded: 2,
  completed: 3,
  failed: 4,
  cancelled: 5,
} as const;

/** virDomainGetJobStatsFlags. */
export const JobStatsFlag = {
  completed: 0x1,
  keepCompleted: 0x2,
} as const;

/** virDomainJobOperation: what a job does, the parameter `operation` of its statistics. */
export const JobOperation = {
  unknown: 0,
  start: 1,
  save: 2,
  restore: 3,
  migrationIn: 4,
  migrationOut: 5,
  snapshot: 6,
  snapshotRevert: 7,
  dump: 8,
  backup: 9,
  snapshotDelete: 10,
} as const;

/**
 * The names of a job's statistics (VIR_DOMAIN_JOB_*), as far as migrations have them; the type and unit of each
 * follow it. libvirt leaves out what it does not know yet.
 */
export const JobParam = {
  /** i32, `JobOperation` */
  operation: 'operation',
  /** u64, ms */
  timeElapsed: 'time_elapsed',
  /** u64, ms: as a job runs what QEMU expects, once it is completed what it was */
  downtime: 'downtime',
  /** u64, ms: without the time that the two hosts' clocks may differ by */
  downtimeNet: 'downtime_net',
  /** u64, ms */
  setupTime: 'setup_time',
  /** u64, bytes */
  memoryTotal: 'memory_total',
  /** u64, bytes: what has crossed, pages that were sent again included */
  memoryProcessed: 'memory_processed',
  /** u64, bytes */
  memoryRemaining: 'memory_remaining',
  /** u64, bytes a second */
  memoryRate: 'memory_bps',
  /** u64, pages a second; 0 until the first pass is over */
  memoryDirtyRate: 'memory_dirty_rate',
  /** u64, bytes */
  memoryPageSize: 'memory_page_size',
  /** u64: 0 before the first pass */
  memoryIteration: 'memory_iteration',
  /** u64: pages that the target asked for */
  postcopyRequests: 'memory_postcopy_requests',
  /** u64, bytes, all disks that are copied along */
  diskTotal: 'disk_total',
  /** u64, bytes */
  diskProcessed: 'disk_processed',
  /** u64, bytes */
  diskRemaining: 'disk_remaining',
  /** u64, bytes a second */
  diskRate: 'disk_bps',
  /** i32, percent of the guest's time that auto-converge takes away */
  throttle: 'auto_converge_throttle',
  /** bool, of a job that is over; libvirt 9.0 leaves it out for migrations */
  success: 'success',
} as const;

/** virDomainMigrateMaxSpeedFlags. */
export const MaxSpeedFlag = {
  /** The limit is for the post-copy phase. */
  postcopy: 0x1,
} as const;

/** virDomainAbortJobFlagsValues. */
export const AbortJobFlag = {
  postcopy: 0x1,
} as const;

/** virDomainEventType: the `event` of a lifecycle event. */
export const LifecycleEvent = {
  defined: 0,
  undefined: 1,
  started: 2,
  suspended: 3,
  resumed: 4,
  stopped: 5,
  shutdown: 6,
  pmsuspended: 7,
  crashed: 8,
} as const;

/** The `detail` of `LifecycleEvent.started`. */
export const StartedDetail = {
  booted: 0,
  migrated: 1,
  restored: 2,
  fromSnapshot: 3,
  wakeup: 4,
} as const;

/** The `detail` of `LifecycleEvent.suspended`. */
export const SuspendedDetail = {
  paused: 0,
  migrated: 1,
  ioerror: 2,
  watchdog: 3,
  restored: 4,
  fromSnapshot: 5,
  apiError: 6,
  postcopy: 7,
  postcopyFailed: 8,
} as const;

/** The `detail` of `LifecycleEvent.resumed`. */
export const ResumedDetail = {
  unpaused: 0,
  migrated: 1,
  fromSnapshot: 2,
  postcopy: 3,
  postcopyFailed: 4,
} as const;

/** The `detail` of `LifecycleEvent.stopped`. */
export const StoppedDetail = {
  shutdown: 0,
  destroyed: 1,
  crashed: 2,
  migrated: 3,
  saved: 4,
  failed: 5,
  fromSnapshot: 6,
} as const;

/** virDomainBlockJobType. */
export const BlockJobType = {
  unknown: 0,
  pull: 1,
  copy: 2,
  commit: 3,
  activeCommit: 4,
  backup: 5,
} as const;

/** virConnectDomainEventBlockJobStatus. */
export const BlockJobStatus = {
  completed: 0,
  failed: 1,
  canceled: 2,
  ready: 3,
} as const;

/** virDomainBlockJobAbortFlags. */
export const BlockJobAbortFlag = {
  async: 0x1,
  pivot: 0x2,
} as const;

/** virDomainBlockCopyFlags. */
export const BlockCopyFlag = {
  shallow: 0x1,
  reuseExt: 0x2,
  transientJob: 0x4,
  synchronousWrites: 0x8,
} as const;

/** virDomainSnapshotCreateFlags. */
export const SnapshotCreateFlag = {
  redefine: 0x1,
  current: 0x2,
  noMetadata: 0x4,
  halt: 0x8,
  diskOnly: 0x10,
  reuseExt: 0x20,
  quiesce: 0x40,
  atomic: 0x80,
  live: 0x100,
  validate: 0x200,
} as const;

/** virDomainSnapshotListFlags, the one that orders: parents before children. */
export const SnapshotListFlag = {
  topological: 0x400,
} as const;

/** virDomainSnapshotXMLFlags. */
export const SnapshotXmlFlag = {
  secure: 0x1,
} as const;

/** virDomainSnapshotDeleteFlags. */
export const SnapshotDeleteFlag = {
  children: 0x1,
  metadataOnly: 0x2,
  childrenOnly: 0x4,
} as const;

/** virDomainCheckpointCreateFlags. */
export const CheckpointCreateFlag = {
  redefine: 0x1,
  quiesce: 0x2,
  redefineValidate: 0x4,
} as const;

/** virDomainCheckpointDeleteFlags. */
export const CheckpointDeleteFlag = {
  children: 0x1,
  metadataOnly: 0x2,
  childrenOnly: 0x4,
} as const;

/** virDomainBackupBeginFlags. */
export const BackupBeginFlag = {
  reuseExternal: 0x1,
} as const;

/** virStoragePoolState. */
export const PoolState = {
  inactive: 0,
  building: 1,
  running: 2,
  degraded: 3,
  inaccessible: 4,
} as const;

/** virStorageVolType. */
export const VolumeType = {
  file: 0,
  block: 1,
  dir: 2,
  network: 3,
  netdir: 4,
  ploop: 5,
} as const;

/** virStorageVolCreateFlags. */
export const VolumeCreateFlag = {
  preallocMetadata: 0x1,
  reflink: 0x2,
  validate: 0x4,
} as const;

/** virStorageVolDeleteFlags. */
export const VolumeDeleteFlag = {
  normal: 0x0,
  zeroed: 0x1,
  withSnapshots: 0x2,
} as const;

/** virStorageVolResizeFlags. */
export const VolumeResizeFlag = {
  allocate: 0x1,
  delta: 0x2,
  shrink: 0x4,
} as const;

/** virStorageVolInfoFlags. */
export const VolumeInfoFlag = {
  getPhysical: 0x1,
} as const;

/** virStorageVolUploadFlags and virStorageVolDownloadFlags. */
export const VolumeStreamFlag = {
  sparseStream: 0x1,
} as const;

/** virSecretUsageType. */
export const SecretUsageType = {
  none: 0,
  volume: 1,
  ceph: 2,
  iscsi: 3,
  tls: 4,
  vtpm: 5,
} as const;
