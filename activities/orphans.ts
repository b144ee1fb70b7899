/** What moves left on this host, listed; one of them removed or taken over, by a person's word only. */
import { rm, stat } from 'node:fs/promises';
import { permanent, transient, unsafe } from '../domain/errors.ts';
import type {
  MoveFate,
  MoveMemory,
  Orphan,
  OrphanLine,
  OrphanOrder,
  OrphanOutcome,
  OrphanVolume,
} from '../domain/orphans.ts';
import { diskIdentity } from '../guard/identity.ts';
import { withVmLock } from '../guard/lock.ts';
import { isVmUuid } from '../guard/ledger-file.ts';
import type { Quarantine } from '../guard/quarantine.ts';
import { journalPathOf } from './journal-path.ts';
import { MoveFolder } from './move-folder.ts';
import {
  allDisksOfVms,
  disksOfVms,
  guardedDisksOf,
  namersOf,
  openersOf,
} from './orphans-in-use.ts';
import { removeSetAside, setAsideBytes, setAsideOrphans } from './orphans-set-aside.ts';
import type { StateFolders } from './orphans-set-aside.ts';
import type { HostParts } from './parts.ts';

const lockMs = 30_000;
/** A list is for people, and has to fit into one answer. */
const mostListed = 500;

/** What the worker knows beside the parts. */
export interface OrphanCare {
  quarantine: Quarantine;
  /** A look at everything now; gives what the register does not hold. */
  look: () => Promise<Orphan[]>;
  fateOf(move: Pick<MoveMemory, 'moveId' | 'migrationId' | 'server'>): Promise<MoveFate>;
  /** Whether a verb of the move runs here now. */
  isAtWork(migrationId: string): boolean;
  /** Default: libvirt's own. Only tests have others. */
  stateFolders?: StateFolders;
  /** Asks the host's policy. Throws `policy-denied`, `policy-broken`. */
  admit(operator: string): Promise<void>;
}

/** The verbs about orphans, on the same queue as the verbs of moves. */
export interface OrphanActivities {
  listOrphans(): Promise<OrphanLine[]>;
  settleOrphan(order: OrphanOrder): Promise<OrphanOutcome>;
}

export async function listOrphans(parts: HostParts, care: OrphanCare): Promise<OrphanLine[]> {
  const orphans = (await allOrphans(parts, care)).slice(0, mostListed);
  const named = orphans.some(({ kind }) => kind === 'volume')
    ? [...(await disksOfVms(parts)), ...(await guardedDisksOf(parts))]
    : [];
  return Promise.all(
    orphans.map(async (orphan): Promise<OrphanLine> => {
      if (orphan.kind === 'state')
        return { ...plainLine(orphan), sizeBytes: await setAsideBytes(orphan) };
      if (orphan.volume === undefined) return plainLine(orphan);
      const usedBy = await namersOf(orphan, named);
      const removable = usedBy.length === 0 && orphan.volume.identity !== '';
      return { ...orphan, sizeBytes: await sizeOf(orphan.what), usedBy, removable };
    }),
  );
}

const removableKinds: ReadonlySet<Orphan['kind']> = new Set(['folder', 'export', 'state']);

const plainLine = (orphan: Orphan): OrphanLine => ({
  ...orphan,
  sizeBytes: 0,
  usedBy: [],
  removable: removableKinds.has(orphan.kind),
});

async function allOrphans(
  parts: HostParts,
  { quarantine, look, stateFolders }: OrphanCare,
): Promise<Orphan[]> {
  const found = [...(await look()), ...(await setAsideOrphans(parts, stateFolders))];
  const [set, kept] = await Promise.all([quarantine.list(), quarantine.keptIds()]);
  const ids = new Set(set.map(({ id }) => id));
  return [...set, ...found.filter(({ id }) => !ids.has(id) && !kept.has(id))];
}

/** Throws `orphan-unknown`, `policy-denied`, `orphan-in-use`, `orphan-changed`, `orphan-not-ours`, `move-runs`, `orphan-held`. */
export async function settleOrphan(
  parts: HostParts,
  care: OrphanCare,
  { id, order, operator }: OrphanOrder,
  signal: AbortSignal,
): Promise<OrphanOutcome> {
  await care.admit(operator);
  const orphan = (await allOrphans(parts, care)).find((one) => one.id === id);
  if (orphan === undefined) throw unknownOrphan(parts.name, id);
  const { what } = orphan;
  if (order === 'keep') {
    await care.quarantine.keep(orphan, operator);
    return { id, what, done: 'kept' };
  }
  const act = (): Promise<void> => remove(parts, care, orphan, operator);
  const { uuid } = orphan.vm;
  if (isVmUuid(uuid)) {
    const { stateDir, name: host } = parts;
    const operation = `remove orphan ${id}`;
    await withVmLock({ stateDir, uuid, timeoutMs: lockMs, operation, host, signal }, act);
  } else await act();
  return { id, what, done: 'removed' };
}

async function remove(
  parts: HostParts,
  care: OrphanCare,
  orphan: Orphan,
  operator: string,
): Promise<void> {
  const audit = () => care.quarantine.audit({ what: 'remove orphan', operator, orphan });
  if (orphan.kind === 'state') return removeSetAside(parts, orphan, audit);
  await assertOver(parts, care, orphan);
  if (orphan.kind === 'vm') {
    throw permanent({
      code: 'orphan-is-a-vm',
      message: `${orphan.vm.name} on ${parts.name} is a VM; vmferry does not remove it`,
      remedy: orphan.remedy,
      host: parts.name,
    });
  }
  if (orphan.volume !== undefined) return removeVolume(parts, care, orphan, operator);
  await audit();
  await parts.dataPlane.closeExports(orphan.migrationId);
  const folder = folderFor(parts, orphan);
  for (const { path, identity } of (await folder.read('target'))?.volumes ?? []) {
    const now = await diskIdentity(path);
    // What tells that the move made a volume has to outlive the volume.
    if (now !== '' && (identity === '' || identity === now)) throw volumeFirst(parts.name, path);
  }
  await folder.remove();
}

async function removeVolume(
  parts: HostParts,
  { quarantine }: OrphanCare,
  orphan: Orphan,
  operator: string,
): Promise<void> {
  const { name: host, hypervisor } = parts;
  const { what: path, volume } = orphan;
  if (volume === undefined || volume.identity === '') throw notOurs(host, path);
  const now = await diskIdentity(path);
  if (now !== '' && now !== volume.identity) throw changed(host, path);
  if (now !== '') {
    const named = [...(await allDisksOfVms(parts)), ...(await guardedDisksOf(parts))];
    const users = [...(await namersOf(orphan, named)), ...(await openersOf(path))];
    // A damaged entry may be about this disk.
    users.push(...(await parts.ledger.list()).corrupt.map(({ file }) => `the damaged ${file}`));
    if (users.length > 0) throw inUse(host, path, users);
    await quarantine.audit({ what: 'remove orphan', operator, orphan });
    if (!(await hypervisor.deleteVolume(placeOf(path, volume)))) throw unmanaged(host, path);
  }
  await rm(journalPathOf(parts, { kind: volume.kind, path }), { force: true });
  await releaseLedger(parts, quarantine, orphan);
  await quarantine.forget(orphan.id);
}

const placeOf = (path: string, { kind, pool, name, format }: OrphanVolume) => ({
  kind,
  path,
  format,
  pool,
  volume: name,
});

/** With its last volume the VM's entry goes back to what it was before the move: absent, or another host's. */
async function releaseLedger(
  { ledger }: HostParts,
  quarantine: Quarantine,
  { id, migrationId, vm, volume }: Orphan,
): Promise<void> {
  const others = (await quarantine.list()).filter(
    (one) => one.migrationId === migrationId && one.id !== id,
  );
  const entry = isVmUuid(vm.uuid) ? await ledger.read(vm.uuid) : undefined;
  const set = entry?.state === 'quarantined' && entry.migrationId === migrationId;
  if (others.length > 0 || entry === undefined || !set) return;
  if (volume?.knownBefore === false) return ledger.remove(vm.uuid, entry);
  const { epoch, name } = entry;
  const note = 'a move here ended, and what it left was removed';
  await ledger.transition(vm.uuid, { to: 'released', epoch, migrationId, name, note, disks: [] });
}

/** A move that runs, or may run, needs what is to be removed, whatever a person believes. */
async function assertOver(parts: HostParts, care: OrphanCare, orphan: Orphan): Promise<void> {
  const { name: host } = parts;
  const { moveId, migrationId, server } = orphan;
  if (care.isAtWork(migrationId)) throw moveRuns(host, orphan, 'it is being worked on');
  if (moveId === '' || server === undefined) return assertUnheld(parts, orphan);
  const fate = await care.fateOf({ moveId, migrationId, server });
  if (fate.state === 'open') throw moveRuns(host, orphan, 'Temporal says that it runs');
  if (fate.state === 'unknown' && (fate.why === 'unreachable' || fate.why === 'unclear'))
    throw transient({
      code: 'move-fate-unknown',
      message: `it cannot be found out whether the move of ${orphan.vm.name} is over: ${fate.detail}`,
      remedy: 'Nothing was removed. Try again once Temporal answers.',
      host,
    });
}

/** Nothing tells whom to ask about the move; as long as the guard keeps a VM for it, it may well be alive. */
async function assertUnheld(
  { ledger, name: host }: HostParts,
  { migrationId, what }: Orphan,
): Promise<void> {
  const { entries } = await ledger.list();
  const held = entries.find((entry) => entry.migrationId === migrationId);
  if (held === undefined || held.state === 'quarantined') return;
  throw unsafe({
    code: 'orphan-held',
    message: `${what} on ${host} belongs to a move that nothing is known of, and the guard keeps ${held.name} for it (${held.state})`,
    remedy: `See \`vmferry status\`. If no move of it is under way, \`vmferry guard claim ${held.uuid} --reason ...\` where it is to live, then try again.`,
    host,
  });
}

const folderFor = ({ stateDir, name: host }: HostParts, { migrationId }: Orphan): MoveFolder =>
  new MoveFolder({ stateDir, migrationId, host });

/** Bytes on the storage, not the virtual size. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * 512;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

const unknownOrphan = (host: string, id: string) =>
  permanent({
    code: 'orphan-unknown',
    message: `${host} has no orphan ${id}`,
    remedy: `List them with \`vmferry orphans --host ${host}\`; it may be gone already.`,
    host,
  });

const inUse = (host: string, path: string, users: readonly string[]) =>
  unsafe({
    code: 'orphan-in-use',
    message: `${path} on ${host} is used by ${users.join(', ')}; it is not removed`,
    remedy: 'Take it out of the list with `vmferry orphans keep` if it is to stay.',
    host,
  });

const changed = (host: string, path: string) =>
  unsafe({
    code: 'orphan-changed',
    message: `${path} on ${host} is not the file that the move made; it is not removed`,
    remedy: 'Find out who put it there. Take it out of the list with `vmferry orphans keep`.',
    host,
  });

const notOurs = (host: string, path: string) =>
  unsafe({
    code: 'orphan-not-ours',
    message: `it is not recorded that the move made ${path} on ${host}; it is not removed`,
    remedy:
      'Look at the file. If nothing needs it, delete it yourself, then `vmferry orphans keep`.',
    host,
  });

const unmanaged = (host: string, path: string) =>
  permanent({
    code: 'orphan-unmanaged',
    message: `${path} lies in no active pool of ${host}; it is not removed`,
    remedy: 'Start the pool (`virsh pool-start`), then try again.',
    host,
  });

const moveRuns = (host: string, { vm, what }: Orphan, why: string) =>
  unsafe({
    code: 'move-runs',
    message: `${what} on ${host} belongs to a move of ${vm.name} that is not over: ${why}`,
    remedy: 'Nothing was removed. See `vmferry status`.',
    host,
  });

const volumeFirst = (host: string, path: string) =>
  permanent({
    code: 'orphan-has-volumes',
    message: `the move's folder on ${host} says who made ${path}, which is still there`,
    remedy: 'Settle its volumes first; `vmferry orphans` lists them.',
    host,
  });
