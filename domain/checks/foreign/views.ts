/** What the rules of imports judge by. */
import type { ForeignVm } from '../../foreign.ts';
import type { ConversionHostFacts, ImportPlan, ImportRequest } from '../../import.ts';
import type { UseTarget } from '../../import/use.ts';
import type { HostFacts, MachineOffer } from '../../host.ts';
import type { OwnerState } from '../../ownership.ts';

/** The VM, and what was asked of it; its defaults, where it was only looked at. */
export interface VmView {
  vm: ForeignVm;
  request: Pick<ImportRequest, 'running' | 'convert' | 'shape' | 'autoStart'>;
}

/** What was asked as a whole. */
export interface RequestView {
  vm: ForeignVm;
  request: ImportRequest;
}

export interface TargetView extends RequestView {
  target: HostFacts;
  /** For the VM's machine; absent if nobody looked. */
  offer?: MachineOffer;
  /** Volumes that the target already has, `pool/volume`; absent if nobody looked. */
  existingVolumes?: readonly string[];
  /** What the target's ledger says under the UUID that the VM would have, if anything. */
  ledger?: { state: OwnerState; note: string };
}

/** A conversion host by itself. */
export interface HostView {
  conversionHost: ConversionHostFacts;
}

export interface ConversionView extends RequestView, HostView {
  /** It may be the conversion host itself. */
  target: HostFacts;
  /** A person took it out of service; absent if nobody knows. */
  enabled?: boolean;
  /** Bytes of this very import that the cache has already; 0 if absent. */
  cachedBytes?: number;
}

/** One of several imports that are asked for at once. */
export interface BatchEntry extends RequestView {
  /** Absent where none could be made; its own concerns say why. */
  plan?: ImportPlan;
}

export interface BatchView {
  entries: readonly BatchEntry[];
  targets: readonly UseTarget[];
  conversionHosts: readonly ConversionHostFacts[];
}
