import { unsafe } from '../domain/errors.ts';
import type { LedgerEntry, OwnerState } from '../domain/ownership.ts';
import { withVmLock } from '../guard/lock.ts';
import type { EpochRef, MoveRef } from './contract.ts';
import { refuseIfEnded } from './ended.ts';
import { MoveFolder } from './move-folder.ts';
import type { HostParts } from './parts.ts';

const lockMs = 30_000;

export const folderOf = (parts: HostParts, { migrationId }: MoveRef): MoveFolder =>
  new MoveFolder({ stateDir: parts.stateDir, migrationId, host: parts.name });

/** Acts on a VM while no other process of this host does, whatever the ledger says of it. */
export const underLock = <T>(
  parts: HostParts,
  options: { ref: MoveRef; operation: string; signal: AbortSignal },
  act: () => Promise<T>,
): Promise<T> => {
  const { ref, operation, signal } = options;
  const { stateDir, name: host } = parts;
  return withVmLock(
    { stateDir, uuid: ref.vm.uuid, timeoutMs: lockMs, operation, host, signal },
    act,
  );
};

/** As `underLock`, but refused with `move-ended` once the move was undone or committed on this host. */
export const whileOpen = <T>(
  parts: HostParts,
  options: { ref: MoveRef; operation: string; signal: AbortSignal },
  act: () => Promise<T>,
): Promise<T> =>
  underLock(parts, options, async () => {
    await refuseIfEnded(parts, options.ref);
    return act();
  });

export interface OursOptions {
  ref: EpochRef;
  states: readonly OwnerState[];
  operation: string;
  signal: AbortSignal;
  /** The verb that ends the move on this host: it may run again if its reply was lost. */
  lastVerb?: true;
}

/**
 * Acts on a VM under its lock, after the ledger was seen to hold this move's epoch and one of `states`: a late attempt
 * of an old activity is refused here, whatever it believes. Throws `stale-epoch`.
 */
export async function whileOurs<T>(
  parts: HostParts,
  options: OursOptions,
  act: (entry: LedgerEntry) => Promise<T>,
): Promise<T> {
  const { ref, states, operation } = options;
  const { uuid, name } = ref.vm;
  const lock = options.lastVerb === true ? underLock : whileOpen;
  return lock(parts, options, async () => {
    const entry = await parts.ledger.read(uuid);
    const ours = entry?.migrationId === ref.migrationId && entry.epoch === ref.epoch;
    if (entry !== undefined && ours && states.includes(entry.state)) return act(entry);
    const found =
      entry === undefined
        ? 'has no entry'
        : `says ${entry.state}, epoch ${entry.epoch}, set by ${entry.migrationId === '' ? 'a person' : entry.migrationId}`;
    throw unsafe({
      code: 'stale-epoch',
      message: `refused to ${operation}: for ${name} the ledger of ${parts.name} ${found}; expected ${states.join(' or ')}, epoch ${ref.epoch}, of this move`,
      remedy:
        'Nothing was changed here. A newer move or a person has taken over; see `vmferry status`.',
      host: parts.name,
    });
  });
}
