/** What the rules judge by: what one host sees, what the other told, and what a person asked for. */
import type { DiskQuestion } from '../disk-plan.ts';
import type { CpuComparison, HostFacts, LiveProbe, MachineFacts, NeighbourVm } from '../host.ts';
import type { MoveRequest } from '../move.ts';
import type { OwnerState } from '../ownership.ts';
import type { SecretRef, VmFacts } from '../vm.ts';

/** The words of a request that say which rules speak. */
type Asked = Pick<MoveRequest, 'live' | 'skip'> & Partial<Pick<MoveRequest, 'operator'>>;

export interface SourceView {
  vm: VmFacts;
  request: Pick<MoveRequest, 'shutdown'> & Asked;
  /** The other VMs of the host. */
  neighbours: readonly NeighbourVm[];
  guard: { hookLive: boolean; detail: string };
  /** What the host's ledger says of the VM, if anything. */
  ledger?: { state: OwnerState; note: string };
  machine?: MachineFacts;
  /** Of a live move, where the target's address is known. */
  probe?: LiveProbe;
}

/** For the way of each disk. */
export interface StorageView extends DiskQuestion {
  request: DiskQuestion['request'] & Asked;
  target: HostFacts;
  /** Volumes that already exist on the target, `pool/volume`. */
  existingVolumes: readonly string[];
}

export interface TargetView extends StorageView {
  sourceHostUuid: string;
  ledger?: { state: OwnerState; note: string };
  /** Which of the VM's host files and CD images do not exist on the target. */
  missingFiles: readonly string[];
  /** As `VmFacts.firmware.loaders`, of the target; absent if it has no such machine or nobody has to know. */
  efiLoaders?: readonly string[];
  /** Secrets of libvirt that the definition names and the target does not have. */
  missingSecrets: readonly SecretRef[];
  /** Of the target. */
  machine?: MachineFacts;
  /** Of the source; older workers do not tell. */
  sourceMachine?: MachineFacts;
  /** Of the places where libvirt here would keep UEFI variables and TPM state of the VM: those where something lies. */
  presentState?: readonly string[];
  /** Of a guest that runs, by the target's libvirt. */
  cpu?: CpuComparison;
}
