/** Snapshots and what changed on a disk since one of them: the parts of a copy that runs ahead of the cutover. */
import { permanent, unsafe } from '../../domain/errors.ts';
import { childOf, childrenOf, isFault } from '../../protocols/soap/index.ts';
import { devicesOf, currentSnapshotOf } from './vm-facts.ts';
import { disksOf } from './disks.ts';
import { vmRef } from './inventory.ts';
import { countAt } from './numbers.ts';
import { propertiesOf } from './properties.ts';
import { object, reference, referenceIn, value } from './references.ts';
import type { ManagedRef } from './references.ts';
import type { VsphereSession } from './session.ts';
import { runTask } from './tasks.ts';

/** Turns change tracking on or off; it counts from the next snapshot or power-on. */
export async function setChangeTracking(
  session: VsphereSession,
  id: string,
  on: boolean,
): Promise<void> {
  await runTask(
    session,
    vmRef(id),
    {
      method: 'ReconfigVM_Task',
      parameters: [object('spec', [value('changeTrackingEnabled', on)])],
    },
    { what: `turn change tracking ${on ? 'on' : 'off'} for ${id}` },
  );
}

/** Without the memory; quiesced only if asked for, as it needs VMware Tools. */
export async function createSnapshot(
  session: VsphereSession,
  id: string,
  snapshot: { name: string; description: string; quiesce: boolean },
): Promise<ManagedRef> {
  const parameters = [
    value('name', snapshot.name),
    value('description', snapshot.description),
    value('memory', false),
    value('quiesce', snapshot.quiesce),
  ];
  const what = `take the snapshot ${snapshot.name} of ${id}`;
  const call = { method: 'CreateSnapshot_Task', parameters };
  const made = referenceIn(await runTask(session, vmRef(id), call, { what }));
  if (made !== undefined) return made;
  const found = await propertiesOf(session, vmRef(id), ['snapshot'], { what });
  const current = referenceIn(currentSnapshotOf(found));
  if (current !== undefined) return current;
  throw permanent({
    code: 'vsphere-refused',
    message: `could not ${what}: the task went well, and yet there is none`,
    remedy: 'Look at the snapshots of the VM in vSphere.',
    host: session.host,
  });
}

/** That one alone, not those on top of it; one that is gone is well. */
export async function removeSnapshot(session: VsphereSession, snapshot: ManagedRef): Promise<void> {
  const parameters = [value('removeChildren', false), value('consolidate', true)];
  const call = { method: 'RemoveSnapshot_Task', parameters };
  await runTask(session, snapshot, call, {
    what: `remove the snapshot ${snapshot.id}`,
    fine: ['ManagedObjectNotFound'],
  });
}

/** Change IDs of a snapshot's disks by their keys; empty where the disk is not tracked. */
export async function changeIdsOf(
  session: VsphereSession,
  snapshot: ManagedRef,
): Promise<Map<string, string>> {
  const what = `read the change IDs of ${snapshot.id}`;
  const found = await propertiesOf(session, snapshot, ['config.hardware'], { what });
  const disks = disksOf(devicesOf(found), { bootOrder: [], fileSizes: new Map() });
  return new Map(disks.map(({ key, changeId }) => [key, changeId]));
}

export interface ChangedAreas {
  vm: string;
  diskKey: string;
  /** Of the state in which the disk is read. */
  snapshot: ManagedRef;
  /** Changed since that one; `*`: all that was ever written. */
  since: string;
  capacityBytes: number;
}

/** A disk of 62 TB in areas of 64 KiB would have a billion; a server never answers more than some 2,000 at once. */
const mostAnswers = 1_000_000;

/**
 * Ranges in bytes, in order. Rejects with VmFerryError: `vsphere-change-id-lost` if the server no longer knows since when,
 * so that everything has to be read.
 */
export async function* changedAreas(
  session: VsphereSession,
  { vm, diskKey, snapshot, since, capacityBytes }: ChangedAreas,
): AsyncGenerator<{ offset: number; length: number }> {
  let start = 0;
  for (let answers = 0; start < capacityBytes; answers += 1) {
    const parameters = [
      reference('snapshot', snapshot),
      value('deviceKey', diskKey),
      value('startOffset', start),
      value('changeId', since),
    ];
    const what = `ask what changed on disk ${diskKey} of ${vm}`;
    const response = await session
      .callPlainly('QueryChangedDiskAreas', vmRef(vm), parameters)
      .catch((error: unknown) => {
        throw lostChangeId(session, what, error);
      });
    const told = childOf(response, 'returnval');
    for (const area of childrenOf(told, 'changedArea')) {
      const offset = countAt(area, 'start');
      const length = Math.min(countAt(area, 'length'), capacityBytes - offset);
      if (length > 0) yield { offset, length };
    }
    const next = countAt(told, 'startOffset') + countAt(told, 'length');
    // A server that does not come forward would keep us for ever, and what it leaves out would be lost.
    if (next <= start || answers >= mostAnswers) throw noAnswer(session, what, start);
    start = next;
  }
}

const noAnswer = (session: VsphereSession, what: string, start: number): Error =>
  unsafe({
    code: 'vsphere-protocol-broken',
    message: `could not ${what}: the server says nothing of the bytes from ${start} on`,
    remedy: 'Read the whole disk: what changed since the snapshot is not known.',
    host: session.host,
  });

function lostChangeId(session: VsphereSession, what: string, error: unknown): unknown {
  if (!isFault(error, 'FileFault', 'InvalidArgument')) {
    return session.fault(error, 'QueryChangedDiskAreas', { what });
  }
  return permanent({
    code: 'vsphere-change-id-lost',
    message: `could not ${what}: the server no longer knows since when`,
    remedy: 'Nothing to do: the whole disk is read again.',
    host: session.host,
    cause: error,
  });
}
