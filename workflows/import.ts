import { workflowInfo } from '@temporalio/workflow';
import type { MoveRef } from '../activities/contract.ts';
import type { ForeignCheck, ImportRef } from '../activities/import/contract.ts';
import type { DiskPlan } from '../domain/disk-plan.ts';
import type { ImportPlan } from '../domain/import.ts';
import type { Compensations } from './compensations.ts';
import type { ImportVmInput } from './contract.ts';
import type { ImportOrders } from './import-orders.ts';
import type { ImportRecord } from './import-record.ts';
import type { Hosts } from './on-host.ts';

/** Everything that the steps of one import share. */
export interface Import {
  input: ImportVmInput;
  /** On the conversion host. */
  ref: ImportRef;
  record: ImportRecord;
  orders: ImportOrders;
  hosts: Hosts;
  undo: Compensations;
  /** From here on the target may own the VM: an undo works under a newer epoch. */
  cutoverBegan: boolean;
  /** The target was asked for room: its ledger may know the VM. */
  reserving: boolean;
  /** What the conversion host lets it send, bytes a second; 0 is none. */
  uploadBytesPerSecond?: number;
  /** Under which the target holds a place for the VM; known after the check. */
  epoch?: number;
}

/** What the checks found out, fixed for the rest of the import. */
export interface Judged {
  foreign: ForeignCheck;
  plan: ImportPlan;
  /** On the target. */
  target: MoveRef;
  /** Of the target's ledger before; the cutover makes it one more. */
  epoch: number;
}

export interface Placed extends Judged {
  /** With the places that the volumes got. */
  disks: DiskPlan[];
}

export function importRef({ vm, request }: ImportVmInput): ImportRef {
  const info = workflowInfo();
  const { provider, cacheSeconds, compressCache = false } = request;
  return {
    moveId: info.workflowId,
    migrationId: info.firstExecutionRunId,
    provider,
    foreign: vm,
    keepSeconds: cacheSeconds,
    ...(compressCache ? { compress: true } : {}),
  };
}

/**
 * Once the target may own the VM under `epoch + 1`, it gives it up under a newer one. Before the reservation it has a
 * file at most, under no epoch yet.
 */
export const undoEpochOf = ({ cutoverBegan, reserving, epoch = 0 }: Import): number =>
  reserving ? epoch + (cutoverBegan ? 2 : 0) : 0;
