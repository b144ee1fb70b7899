/** The table of all rules of imports. What they find is told in this order. */
import type { ForeignRule, ForeignSide } from './rule.ts';
import { batchCacheFull } from './rules/batch/batch-cache-full.ts';
import { batchRoom } from './rules/batch/batch-room.ts';
import { batchTooLarge } from './rules/batch/batch-too-large.ts';
import { addressShared } from './rules/batch/address-shared.ts';
import { macShared } from './rules/batch/mac-shared.ts';
import { mapUnused } from './rules/batch/map-unused.ts';
import { nameTwice } from './rules/batch/name-twice.ts';
import { uuidTwice } from './rules/batch/uuid-twice.ts';
import { vmTwice } from './rules/batch/vm-twice.ts';
import { volumeTwice } from './rules/batch/volume-twice.ts';
import { cacheFull } from './rules/conversion/cache-full.ts';
import { conversionHostBusy } from './rules/conversion/conversion-host-busy.ts';
import { conversionHostDisabled } from './rules/conversion/conversion-host-disabled.ts';
import { conversionHostMixed } from './rules/conversion/conversion-host-mixed.ts';
import { conversionHostSmall } from './rules/conversion/conversion-host-small.ts';
import { conversionSlow } from './rules/conversion/conversion-slow.ts';
import { conversionToolMissing } from './rules/conversion/conversion-tool-missing.ts';
import { providerUnknown } from './rules/conversion/provider-unknown.ts';
import { roomShared } from './rules/conversion/room-shared.ts';
import { windowsDriversMissing } from './rules/conversion/windows-drivers-missing.ts';
import { cdroms } from './rules/devices/cdroms.ts';
import { deviceStays } from './rules/devices/device-stays.ts';
import { nicOfHost } from './rules/devices/nic-of-host.ts';
import { passthroughDevice } from './rules/devices/passthrough-device.ts';
import { usbDevice } from './rules/devices/usb-device.ts';
import { bootDriverUnsure } from './rules/disks/boot-driver-unsure.ts';
import { diskEncrypted } from './rules/disks/disk-encrypted.ts';
import { diskIndependentRunning } from './rules/disks/disk-independent-running.ts';
import { diskIndependent } from './rules/disks/disk-independent.ts';
import { diskOverNetwork } from './rules/disks/disk-over-network.ts';
import { diskRaw } from './rules/disks/disk-raw.ts';
import { diskShared } from './rules/disks/disk-shared.ts';
import { diskSizeUnknown } from './rules/disks/disk-size-unknown.ts';
import { diskStays } from './rules/disks/disk-stays.ts';
import { diskUnknown } from './rules/disks/disk-unknown.ts';
import { noDisk } from './rules/disks/no-disk.ts';
import { snapshotsStay } from './rules/disks/snapshots-stay.ts';
import { secureBoot } from './rules/firmware/secure-boot.ts';
import { tpmStateStays } from './rules/firmware/tpm-state-stays.ts';
import { uefiVariablesStay } from './rules/firmware/uefi-variables-stay.ts';
import { addressesNotKept } from './rules/guest/addresses-not-kept.ts';
import { addressesUnknown } from './rules/guest/addresses-unknown.ts';
import { guestUnsupported } from './rules/guest/guest-unsupported.ts';
import { windowsAsleepUnseen } from './rules/guest/windows-asleep-unseen.ts';
import { mac } from './rules/network/mac.ts';
import { networkUnmapped } from './rules/network/network-unmapped.ts';
import { nicDisconnected } from './rules/network/nic-disconnected.ts';
import { volumeNameUnfit } from './rules/disks/volume-name-unfit.ts';
import { addressesUnfit } from './rules/network/addresses-unfit.ts';
import { nicUnfit } from './rules/network/nic-unfit.ts';
import { noNic } from './rules/network/no-nic.ts';
import { firmwareMissing } from './rules/target/firmware-missing.ts';
import { guardNotLive } from './rules/target/guard-not-live.ts';
import { machineUnsupported } from './rules/target/machine-unsupported.ts';
import { macTaken } from './rules/target/mac-taken.ts';
import { memory } from './rules/target/memory.ts';
import { nameTaken } from './rules/target/name-taken.ts';
import { networkMissing } from './rules/target/network-missing.ts';
import { ownershipConflict } from './rules/target/ownership-conflict.ts';
import { poolUnfit } from './rules/target/pool-unfit.ts';
import { room } from './rules/target/room.ts';
import { uuidTaken } from './rules/target/uuid-taken.ts';
import { vcpus } from './rules/target/vcpus.ts';
import { volumeTaken } from './rules/target/volume-taken.ts';
import { becomesClone } from './rules/vm/becomes-clone.ts';
import { cloneUnreadable } from './rules/vm/clone-unreadable.ts';
import { nameInvalid } from './rules/vm/name-invalid.ts';
import { platformSettingsStay } from './rules/vm/platform-settings-stay.ts';
import { shutdownUnheard } from './rules/vm/shutdown-unheard.ts';
import { sizeUnfit } from './rules/vm/size-unfit.ts';
import { socketsChange } from './rules/vm/sockets-change.ts';
import { sourceStops } from './rules/vm/source-stops.ts';
import { stateUnfit } from './rules/vm/state-unfit.ts';
import { uuidMissing } from './rules/vm/uuid-missing.ts';
import { wishWithoutEffect } from './rules/vm/wish-without-effect.ts';
import type {
  BatchView,
  ConversionView,
  HostView,
  RequestView,
  TargetView,
  VmView,
} from './views.ts';

/** Of the VM as its source has it. */
export const vmRules: readonly ForeignRule<VmView>[] = [
  stateUnfit,
  sourceStops,
  shutdownUnheard,
  becomesClone,
  cloneUnreadable,
  nameInvalid,
  uuidMissing,
  sizeUnfit,
  socketsChange,
  noDisk,
  diskEncrypted,
  diskRaw,
  diskOverNetwork,
  diskShared,
  diskIndependent,
  diskIndependentRunning,
  diskSizeUnknown,
  diskStays,
  snapshotsStay,
  bootDriverUnsure,
  passthroughDevice,
  nicOfHost,
  usbDevice,
  deviceStays,
  cdroms,
  secureBoot,
  tpmStateStays,
  uefiVariablesStay,
  guestUnsupported,
  windowsAsleepUnseen,
  noNic,
  mac,
  nicDisconnected,
  addressesUnknown,
  addressesNotKept,
  platformSettingsStay,
];

/** Of what was asked, whatever the target. */
export const requestRules: readonly ForeignRule<RequestView>[] = [
  diskUnknown,
  nicUnfit,
  addressesUnfit,
  volumeNameUnfit,
  networkUnmapped,
  wishWithoutEffect,
];

export const targetRules: readonly ForeignRule<TargetView>[] = [
  guardNotLive,
  ownershipConflict,
  uuidTaken,
  nameTaken,
  macTaken,
  networkMissing,
  poolUnfit,
  volumeTaken,
  room,
  machineUnsupported,
  firmwareMissing,
  vcpus,
  memory,
];

/** What a conversion host lacks, whatever is imported. */
export const conversionHostRules: readonly ForeignRule<HostView>[] = [
  conversionHostSmall,
  conversionHostMixed,
];

export const conversionRules: readonly ForeignRule<ConversionView>[] = [
  providerUnknown,
  conversionHostDisabled,
  conversionToolMissing,
  windowsDriversMissing,
  cacheFull,
  roomShared,
  ...conversionHostRules,
  conversionSlow,
  conversionHostBusy,
];

/** Of several imports at once; what each of them finds alone is not among it. */
export const batchRules: readonly ForeignRule<BatchView>[] = [
  batchTooLarge,
  vmTwice,
  nameTwice,
  uuidTwice,
  macShared,
  addressShared,
  volumeTwice,
  mapUnused,
  batchRoom,
  batchCacheFull,
];

/** A rule without what it judges by: what there is to say of it beforehand. */
export type ForeignRuleOfSide = Pick<ForeignRule<never>, 'modes' | 'outcomes'> & {
  side: ForeignSide;
};

/** All of them, for lists. */
export const allForeignRules: readonly ForeignRuleOfSide[] = [
  ...vmRules.map((rule) => ({ ...rule, side: 'source' as const })),
  ...requestRules.map((rule) => ({ ...rule, side: 'request' as const })),
  ...targetRules.map((rule) => ({ ...rule, side: 'target' as const })),
  ...conversionRules.map((rule) => ({ ...rule, side: 'conversion host' as const })),
  ...batchRules.map((rule) => ({ ...rule, side: 'batch' as const })),
];
