/** The table of all rules. What they find is told in this order. */
import type { Rule, Side } from './rule.ts';
import { cpuIncompatible } from './rules/cpu/cpu-incompatible.ts';
import { cpuNot64Bit } from './rules/cpu/cpu-not-64-bit.ts';
import { cpuNotStartable } from './rules/cpu/cpu-not-startable.ts';
import { cpuTied } from './rules/cpu/cpu-tied.ts';
import { cpuVendorDiffers } from './rules/cpu/cpu-vendor-differs.ts';
import { nxMissing } from './rules/cpu/nx-missing.ts';
import { deviceCannotMove } from './rules/devices/device-cannot-move.ts';
import { liveStateOverwritten } from './rules/devices/live-state-overwritten.ts';
import { nvramNotMoved } from './rules/devices/nvram-not-moved.ts';
import { removableMedium } from './rules/devices/removable-medium.ts';
import { chain } from './rules/disks/chain.ts';
import { diskEncrypted } from './rules/disks/disk-encrypted.ts';
import { diskFormatUnsupported } from './rules/disks/disk-format-unsupported.ts';
import { diskInUseHere, diskInUseThere } from './rules/disks/disk-in-use.ts';
import { diskKindUnsupported } from './rules/disks/disk-kind-unsupported.ts';
import { diskShared } from './rules/disks/disk-shared.ts';
import { diskUnknown } from './rules/disks/disk-unknown.ts';
import { liveAllocationLost } from './rules/disks/live-allocation-lost.ts';
import { liveCacheMode } from './rules/disks/live-cache-mode.ts';
import { liveChainKept } from './rules/disks/live-chain-kept.ts';
import { liveEncryptedCopy } from './rules/disks/live-encrypted-copy.ts';
import { liveReadonlyCopy } from './rules/disks/live-readonly-copy.ts';
import { liveSharedUnproved } from './rules/disks/live-shared-unproved.ts';
import { liveSizeDiffers } from './rules/disks/live-size-differs.ts';
import { shareableUnlocked } from './rules/disks/shareable-unlocked.ts';
import { sharedByWord } from './rules/disks/shared-by-word.ts';
import { snapshots } from './rules/disks/snapshots.ts';
import { storageNotShared } from './rules/disks/storage-not-shared.ts';
import { guardOfSource, guardOfTarget } from './rules/guard/guard-not-live.ts';
import { notOwner } from './rules/guard/not-owner.ts';
import { ownershipConflict } from './rules/guard/ownership-conflict.ts';
import { clockSkew } from './rules/host/clock-skew.ts';
import { firmware } from './rules/host/firmware.ts';
import { hostFileMissing } from './rules/host/host-file-missing.ts';
import { hostnameClash } from './rules/host/hostname-clash.ts';
import { kernelDiffers } from './rules/host/kernel-differs.ts';
import { machineUnsupported } from './rules/host/machine-unsupported.ts';
import { memory } from './rules/host/memory.ts';
import { microcodeDiffers } from './rules/host/microcode-differs.ts';
import { sameHost } from './rules/host/same-host.ts';
import { liveCredentials } from './rules/live/live-credentials.ts';
import {
  qemuCertificatesOfSource,
  qemuCertificatesOfTarget,
} from './rules/live/live-qemu-certificates.ts';
import { macTaken } from './rules/network/mac-taken.ts';
import { mtuSmaller } from './rules/network/mtu-smaller.ts';
import { networkMissing } from './rules/network/network-missing.ts';
import { poolUnfit } from './rules/pools/pool-unfit.ts';
import { room } from './rules/pools/room.ts';
import { volumeTaken } from './rules/pools/volume-taken.ts';
import { liveSecretMissing } from './rules/secrets/live-secret-missing.ts';
import { secretMissing } from './rules/secrets/secret-missing.ts';
import { secretMoves } from './rules/secrets/secret-moves.ts';
import { checkpoints } from './rules/vm/checkpoints.ts';
import { liveDefinitionDiffers } from './rules/vm/live-definition-differs.ts';
import { liveJobRunning } from './rules/vm/live-job-running.ts';
import { liveSnapshots } from './rules/vm/live-snapshots.ts';
import { managedSave } from './rules/vm/managed-save.ts';
import { nameTaken } from './rules/vm/name-taken.ts';
import { uuidTaken } from './rules/vm/uuid-taken.ts';
import { vmNotRunning } from './rules/vm/vm-not-running.ts';
import { vmState } from './rules/vm/vm-state.ts';
import { vmTransient } from './rules/vm/vm-transient.ts';
import type { SourceView, StorageView, TargetView } from './views.ts';

/** What the source judges by. */
export const sourceRules: readonly Rule<SourceView>[] = [
  guardOfSource,
  notOwner,
  vmTransient,
  vmState,
  vmNotRunning,
  liveDefinitionDiffers,
  liveJobRunning,
  managedSave,
  checkpoints,
  liveSnapshots,
  cpuTied,
  diskKindUnsupported,
  diskFormatUnsupported,
  diskInUseHere,
  deviceCannotMove,
  nvramNotMoved,
  removableMedium,
  liveCredentials,
  qemuCertificatesOfSource,
];

/** What the target judges the disks' ways by. */
export const storageRules: readonly Rule<StorageView>[] = [
  diskUnknown,
  diskInUseThere,
  sharedByWord,
  liveSharedUnproved,
  liveCacheMode,
  storageNotShared,
  diskShared,
  diskEncrypted,
  liveEncryptedCopy,
  liveReadonlyCopy,
  chain,
  liveChainKept,
  liveAllocationLost,
  liveSizeDiffers,
  poolUnfit,
  volumeTaken,
  room,
  snapshots,
];

/** What the target judges by, the disks' ways included. */
export const targetRules: readonly Rule<TargetView>[] = [
  sameHost,
  guardOfTarget,
  ownershipConflict,
  uuidTaken,
  nameTaken,
  macTaken,
  networkMissing,
  mtuSmaller,
  ...storageRules,
  shareableUnlocked,
  machineUnsupported,
  cpuIncompatible,
  cpuNotStartable,
  cpuVendorDiffers,
  cpuNot64Bit,
  nxMissing,
  hostFileMissing,
  memory,
  firmware,
  liveStateOverwritten,
  kernelDiffers,
  microcodeDiffers,
  hostnameClash,
  clockSkew,
  secretMoves,
  secretMissing,
  liveSecretMissing,
  qemuCertificatesOfTarget,
];

/** A rule without what it judges by: what there is to say of it beforehand. */
export type RuleOfSide = Pick<Rule<never>, 'modes' | 'outcomes' | 'skip'> & { side: Side };

/** All of them, for lists. */
export const allRules: readonly RuleOfSide[] = [
  ...sourceRules.map((rule) => ({ ...rule, side: 'source' as const })),
  ...targetRules.map((rule) => ({ ...rule, side: 'target' as const })),
];
