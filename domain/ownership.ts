import { unsafe } from './errors.ts';

/** Who may run a VM on a host; kept in the host's ledger, read by its libvirt hook. */
export const OwnerState = {
  /** This host may run the VM. */
  owner: 'owner',
  /** A move away is under way: no start here until it ends either way. */
  migratingOut: 'migrating-out',
  /** Another host owns it now. */
  released: 'released',
  /** A move towards this host is under way: no start here before the cutover. */
  incoming: 'incoming',
  /** Set aside by a person or a failed clean-up. */
  quarantined: 'quarantined',
} as const;
export type OwnerState = (typeof OwnerState)[keyof typeof OwnerState];

/** Enough to know a disk again, whatever name or definition it is used under. */
export interface DiskIdentity {
  path: string;
  /** As `guard/identity.ts` reads it: `<device>:<inode>:<birth s>` of a file, `block:<major>:<minor>` of a device node; empty if not known (yet). */
  identity: string;
}

export interface LedgerEntry {
  uuid: string;
  name: string;
  /** Grows by one with each change of owner, never falls. */
  epoch: number;
  state: OwnerState;
  /** The migration that set this state; empty if a person did. */
  migrationId: string;
  /** For people: why the state is what it is, e.g. `moved to beta`. One line. */
  note: string;
  disks: DiskIdentity[];
}

const allowed: Record<OwnerState, readonly OwnerState[]> = {
  owner: ['owner', 'migrating-out', 'released', 'quarantined'],
  'migrating-out': ['migrating-out', 'owner', 'released', 'quarantined'],
  released: ['released', 'owner', 'incoming', 'quarantined'],
  incoming: ['incoming', 'owner', 'released', 'quarantined'],
  quarantined: ['quarantined', 'owner', 'released', 'incoming'],
};

export interface Transition {
  uuid: string;
  host: string;
  to: OwnerState;
  epoch: number;
  migrationId: string;
}

/**
 * Whether a host's ledger may go from `current` to `next`; throws `stale-epoch` or `ownership-conflict`.
 * The epoch may stay or grow; to become owner after another host was, it has to grow.
 */
export function assertTransition(current: LedgerEntry | undefined, next: Transition): void {
  if (current === undefined) return;
  if (next.epoch < current.epoch) {
    throw unsafe({
      code: 'stale-epoch',
      message: `the ledger of ${next.host} holds epoch ${current.epoch} for VM ${current.name} (${next.uuid}); an action of epoch ${next.epoch} came too late`,
      remedy: 'Nothing was changed. A newer move or a person has taken over; see `vmferry status`.',
      host: next.host,
    });
  }
  const busy = current.state === 'migrating-out' || current.state === 'incoming';
  if (busy && current.migrationId !== '' && current.migrationId !== next.migrationId) {
    throw unsafe({
      code: 'ownership-conflict',
      message: `VM ${current.name} (${next.uuid}) on ${next.host} is ${current.state} for another move, ${current.migrationId}`,
      remedy:
        'Finish, cancel or roll back that move first; if it is gone for good, use `vmferry guard claim` on the host.',
      host: next.host,
    });
  }
  const grows = next.epoch > current.epoch;
  const takesBack =
    next.to === 'owner' && (current.state === 'released' || current.state === 'incoming');
  if (!allowed[current.state].includes(next.to) || (takesBack && !grows)) {
    throw unsafe({
      code: 'ownership-conflict',
      message: `VM ${current.name} (${next.uuid}) on ${next.host} cannot go from ${current.state} (epoch ${current.epoch}) to ${next.to} (epoch ${next.epoch})`,
      remedy:
        'See `vmferry doctor` on that host for what its ledger says, and `vmferry status` for the move that set it.',
      host: next.host,
    });
  }
}
