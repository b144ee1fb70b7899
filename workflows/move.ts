import { workflowInfo } from '@temporalio/workflow';
import type { DiskPlan, MoveRef, SourceCheck } from '../activities/contract.ts';
import type { HostLimits } from '../domain/hosts/state.ts';
import type { Compensations } from './compensations.ts';
import type { MigrateVmInput } from './contract.ts';
import type { MoveRecord } from './move-record.ts';
import type { Hosts } from './on-host.ts';
import type { Orders } from './orders.ts';

/** Everything that the steps of one move share. */
export interface Move {
  input: MigrateVmInput;
  ref: MoveRef;
  record: MoveRecord;
  orders: Orders;
  hosts: Hosts;
  undo: Compensations;
  /** From here on the source may have given the VM up: an undo works under a newer epoch than the target's. */
  cutoverBegan: boolean;
  /** The target was asked for room: its ledger may know the move. */
  reserving?: true;
  /** The guest is on its own legs, wherever it is: an undo does not start it. */
  goingLive: boolean;
  /** The source was asked for a live run. */
  liveRunBegan?: true;
  /** What its hosts take, by name, once it has its places: from then on each tells it of changes. */
  hostLimits: Readonly<Record<string, HostLimits>>;
  /** Whether its places were given back, or will be: then they are not given again. */
  placesGiven?: Promise<boolean>;
  /**
   * The guest is at the target, and not as it was asked for: the move had been called off, or libvirt did not keep its definition.
   * Nothing is committed without a person's word.
   */
  awaitsWord?: true;
  /** Places on the target where a disk was said to be, and that were read to hold other bytes. */
  strangers?: string[];
}

/** What the checks found out, fixed for the rest of the move. */
export interface Checked {
  source: SourceCheck;
  disks: DiskPlan[];
  /** The epoch under which the source owns the VM; the cutover makes it one more. */
  epoch: number;
  /** Where the source reaches the target, for a live move. */
  targetAddress: string;
}

/** What the shutdown found. */
export interface Stopped {
  wasRunning: boolean;
  /** By the clock of the workflow, which all its times share. */
  downSinceMs: number;
}

/** Once the target may own the VM under `epoch + 1`, both sides go back under a newer epoch still. */
export const undoEpoch = (move: Move, epoch: number): number =>
  move.cutoverBegan ? epoch + 2 : epoch;

/** The first run's ID names the move on the hosts: the workflow's own ID is the VM's and serves its next move too. */
export function moveRef(input: MigrateVmInput): MoveRef {
  const info = workflowInfo();
  return { moveId: info.workflowId, migrationId: info.firstExecutionRunId, vm: input.vm };
}
