/** The table of all rules. What they find is told in this order. */
import type { Rule, Side } from './rule.ts';
import { deviceCannotMove } from './rules/devices/device-cannot-move.ts';
import { nvramNotMoved } from './rules/devices/nvram-not-moved.ts';
import { removableMedium } from './rules/devices/removable-medium.ts';
import { chain } from './rules/disks/chain.ts';
import { diskEncrypted } from './rules/disks/disk-encrypted.ts';
import { diskFormatUnsupported } from './rules/disks/disk-format-unsupported.ts';
import { diskInUseHere, diskInUseThere } from './rules/disks/disk-in-use.ts';
import { diskKindUnsupported } from './rules/disks/disk-kind-unsupported.ts';
import { diskShared } from './rules/disks/disk-shared.ts';
import { diskUnknown } from './rules/disks/disk-unknown.ts';
import { sharedByWord } from './rules/disks/shared-by-word.ts';
import { snapshots } from './rules/disks/snapshots.ts';
import { storageNotShared } from './rules/disks/storage-not-shared.ts';
import { guardOfSource, guardOfTarget } from './rules/guard/guard-not-live.ts';
import { notOwner } from './rules/guard/not-owner.ts';
import { ownershipConflict } from './rules/guard/ownership-conflict.ts';
import { firmware } from './rules/host/firmware.ts';
import { hostFileMissing } from './rules/host/host-file-missing.ts';
import { machineUnsupported } from './rules/host/machine-unsupported.ts';
import { memory } from './rules/host/memory.ts';
import { sameHost } from './rules/host/same-host.ts';
import { macTaken } from './rules/network/mac-taken.ts';
import { networkMissing } from './rules/network/network-missing.ts';
import { poolUnfit } from './rules/pools/pool-unfit.ts';
import { room } from './rules/pools/room.ts';
import { volumeTaken } from './rules/pools/volume-taken.ts';
import { secretMissing } from './rules/secrets/secret-missing.ts';
import { secretMoves } from './rules/secrets/secret-moves.ts';
import { checkpoints } from './rules/vm/checkpoints.ts';
import { managedSave } from './rules/vm/managed-save.ts';
import { nameTaken } from './rules/vm/name-taken.ts';
import { uuidTaken } from './rules/vm/uuid-taken.ts';
import { vmState } from './rules/vm/vm-state.ts';
import { vmTransient } from './rules/vm/vm-transient.ts';
import type { SourceView, StorageView, TargetView } from './views.ts';

/** What the source judges by. */
export const sourceRules: readonly Rule<SourceView>[] = [
  guardOfSource,
  notOwner,
  vmTransient,
  vmState,
  managedSave,
  checkpoints,
  diskKindUnsupported,
  diskFormatUnsupported,
  diskInUseHere,
  deviceCannotMove,
  nvramNotMoved,
  removableMedium,
];

/** What the target judges the disks' ways by. */
export const storageRules: readonly Rule<StorageView>[] = [
  diskUnknown,
  diskInUseThere,
  sharedByWord,
  storageNotShared,
  diskShared,
  diskEncrypted,
  chain,
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
  ...storageRules,
  machineUnsupported,
  hostFileMissing,
  memory,
  firmware,
  secretMoves,
  secretMissing,
];

/** A rule without what it judges by: what there is to say of it beforehand. */
export type RuleOfSide = Pick<Rule<never>, 'modes' | 'outcomes' | 'skip'> & { side: Side };

/** All of them, for lists. */
export const allRules: readonly RuleOfSide[] = [
  ...sourceRules.map((rule) => ({ ...rule, side: 'source' as const })),
  ...targetRules.map((rule) => ({ ...rule, side: 'target' as const })),
];
