import type { DiskFormat, PlaceKind } from './vm.ts';

/** Which Temporal a move belongs to: a restored, replaced or foreign server must not speak for it. */
export interface ServerIdentity {
  /** Temporal's own ID of the cluster; empty if it does not tell. */
  clusterId: string;
  /** ID, not name: a namespace that was made anew has another. */
  namespaceId: string;
}

/** Whether two sights are surely of one server; what is not known is not the same. */
export const isSameServer = (one: ServerIdentity, other: ServerIdentity): boolean =>
  one.namespaceId !== '' &&
  one.clusterId !== '' &&
  one.namespaceId === other.namespaceId &&
  one.clusterId === other.clusterId;

/** What a host remembers of a move that it let in, from its first check on. */
export interface MoveMemory {
  /** The workflow's ID. */
  moveId: string;
  /** The first run's ID. */
  migrationId: string;
  vm: { name: string; uuid: string };
  /** What this host is in the move. */
  role: 'source' | 'target';
  /** The host on the other side. */
  peer: string;
  /** Who asked for the move, as the client said; empty if not known. */
  operator: string;
  server: ServerIdentity;
  /** ISO 8601, UTC, by the host's clock. */
  firstSeenAt: string;
}

/**
 * What Temporal says of a move. Only `closed` is a word to act on: it means that this very move, over all its runs,
 * has ended and that the server is the one that the move began on.
 */
export type MoveFate =
  | { state: 'open' }
  | { state: 'closed'; how: 'completed' | 'failed' | 'cancelled' | 'terminated' | 'timed-out' }
  | {
      state: 'unknown';
      why: 'not-found' | 'unreachable' | 'foreign-server' | 'unclear';
      /** One sentence for people. */
      detail: string;
    };

/**
 * Something of a move that nobody will fetch any more. `volume`: a disk that the move made on this host.
 * `vm`: a VM that the guard holds for a move that is over. `folder`: what the host remembers of a move that Temporal
 * does not tell of. `export`: disk servers of a move that the host does not remember. `state`: UEFI variables or TPM
 * state that lay where a move put those that it brought, and that it set aside.
 */
export interface Orphan {
  /** Twelve hex digits, the same at every look. */
  id: string;
  host: string;
  kind: 'volume' | 'vm' | 'folder' | 'export' | 'state';
  /** The path of a volume, folder or state, the UUID of a VM, the migration ID of an export. */
  what: string;
  /** Empty where only the migration is known. */
  moveId: string;
  /** Empty for `state`: nothing tells which move set it aside. */
  migrationId: string;
  vm: { name: string; uuid: string };
  /** ISO 8601, UTC: when the reconciler set it aside or first saw it. */
  since: string;
  why: string;
  remedy: string;
  /** The server that the move began on; absent where the host does not remember the move. */
  server?: ServerIdentity;
  /** Present for a volume. */
  volume?: OrphanVolume;
}

export interface OrphanVolume {
  pool: string;
  name: string;
  kind: PlaceKind;
  format: DiskFormat;
  /** As `guard/identity.ts` reads it when the move made the volume; empty if it was never read: then it is not removed. */
  identity: string;
  /** Whether the target's ledger knew the VM before the move. */
  knownBefore: boolean;
}

/** An orphan as it stands now; one line of `vmferry orphans`. */
export interface OrphanLine extends Orphan {
  /** Bytes that it takes on the storage; 0 if not known or none. */
  sizeBytes: number;
  /** VMs of the host that name the disk: as long as there is one, vmferry never removes it. */
  usedBy: string[];
  /** Whether `vmferry orphans remove` may take it; everything is checked again then. */
  removable: boolean;
}

/** A person's word about an orphan. */
export interface OrphanOrder {
  id: string;
  order: 'remove' | 'keep';
  operator: string;
}

export interface OrphanOutcome {
  id: string;
  what: string;
  done: 'removed' | 'kept';
}
