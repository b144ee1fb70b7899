/** How left-over things of a move are put into words for a person, and which of them still are there. */
import type { HostParts } from '../activities/parts.ts';
import type { MoveMemory, Orphan } from '../domain/orphans.ts';
import type { LedgerEntry } from '../domain/ownership.ts';
import { diskIdentity } from '../guard/identity.ts';
import { orphanId } from '../guard/quarantine.ts';
import type { MoveSight } from './reconcile-sight.ts';

interface About {
  host: string;
  sight: MoveSight;
  /** Why it was left, as a clause: `Temporal says that the move was terminated`. */
  because: string;
}

const unknownVm = { name: '', uuid: '' };

const begun = (
  { host, sight }: About,
  kind: Orphan['kind'],
  what: string,
): Omit<Orphan, 'why' | 'remedy'> => {
  const { migrationId, memory, held } = sight;
  const vm = memory?.vm ?? (held === undefined ? unknownVm : { name: held.name, uuid: held.uuid });
  const id = orphanId({ migrationId, kind, what });
  const moveId = memory?.moveId ?? '';
  const since = memory?.firstSeenAt ?? new Date().toISOString();
  const server = memory === undefined ? {} : { server: memory.server };
  return { id, host, kind, what, moveId, migrationId, vm, since, ...server };
};

/** The volumes that the target's memory names and that are there: never deleted, only set aside. */
export async function volumeOrphans(about: About): Promise<Orphan[]> {
  const { sight, because, host } = about;
  const found: Orphan[] = [];
  for (const volume of sight.target?.volumes ?? []) {
    const { path, pool, format, identity } = volume;
    // Moves of older versions made files only, and did not say so.
    const { kind = 'file' } = volume as Partial<typeof volume>;
    if (path === '') continue;
    if (kind !== 'network') {
      const now = await diskIdentity(path);
      if (now === '' || (identity !== '' && identity !== now)) continue;
    }
    const first = begun(about, 'volume', path);
    const name = volume.volume;
    const knownBefore = sight.target?.knownBefore ?? true;
    found.push({
      ...first,
      why: `${because}; its target volume was left`,
      remedy: `\`vmferry orphans remove ${first.id} --host ${host} --yes\` once nobody needs it, or \`vmferry orphans keep ${first.id} --host ${host}\`.`,
      volume: { pool, name, kind, format, identity, knownBefore },
    });
  }
  return found;
}

/** A VM that the guard holds for a move which does not give it back. */
export function heldVm(about: About, entry: LedgerEntry): Orphan {
  const { host, because, sight } = about;
  const { uuid, name, state } = entry;
  const source = sight.source;
  const before =
    source === undefined
      ? ''
      : ` Before the move it was ${source.wasRunning ? 'running' : 'off'}, with autostart ${source.autostart ? 'on' : 'off'}.`;
  return {
    ...begun(about, 'vm', uuid),
    vm: { name, uuid },
    why: `${because}; the guard still holds ${name === '' ? uuid : name} as ${state} (${entry.note}).${before}`,
    remedy: `Make sure that no copy of it runs anywhere, then on ${host}: \`vmferry guard claim ${uuid} --reason ...\`.`,
  };
}

/** What the host remembers of a move that Temporal does not tell of. */
const unknownFolder = (about: About): Orphan => ({
  ...begun(about, 'folder', about.sight.folder.path),
  why: about.because,
  remedy:
    'If that server or its history comes back, this goes on by itself. If the move is over for certain: `vmferry orphans remove`.',
});

/** Exports of a move that the host does not remember. */
const unknownExport = (about: About): Orphan => ({
  ...begun(about, 'export', about.sight.migrationId),
  why: `${about.because}; still exported for it: ${about.sight.exported.join(', ')}`,
  remedy: 'If no move reads them any more: `vmferry orphans remove`.',
});

/** Everything of a move of which Temporal does not say that it is over: it all stays as it is. */
export async function unknownOrphans(about: About): Promise<Orphan[]> {
  const { sight } = about;
  const found = await volumeOrphans(about);
  if (sight.held !== undefined) found.push(heldVm(about, sight.held));
  if (sight.folderAgeMs !== undefined) found.push(unknownFolder(about));
  else if (sight.exported.length > 0) found.push(unknownExport(about));
  return found;
}

/** The entry of a move's VM, if this move set it. */
export async function ownEntry(
  { ledger }: HostParts,
  { vm, migrationId }: MoveMemory,
): Promise<LedgerEntry | undefined> {
  const entry = await ledger.read(vm.uuid);
  return entry?.migrationId === migrationId ? entry : undefined;
}
