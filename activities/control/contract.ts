/**
 * What the control worker can do beside the workflows, as types: it asks the hosts' entities and Temporal itself, never
 * a host. The workflows call these on their own queue.
 */
import type { Fault } from '../../domain/errors.ts';
import type { HostOrder } from '../../domain/hosts/settings.ts';
import type { HostSettings, HostState } from '../../domain/hosts/state.ts';
import type { PlacementWishes } from '../../domain/placement/choose.ts';
import type { Supposed } from '../../domain/placement/host.ts';
import type { PlacementNote } from '../../domain/placement/note.ts';
import type { PlacementRow } from '../../domain/placement/rows.ts';
import type { PlacementVm } from '../../domain/placement/vm.ts';

/** Who reserves: see `SlotHolder`. */
export interface ReservingMove {
  /** The same for all reservations of a move: the ID of the VM's move, `migrate/<cluster>/<vm uuid>`. */
  moveId: string;
  workflowId: string;
  /** The first run's ID, once there is one. */
  runId?: string;
}

export interface PlaceInput {
  cluster: string;
  vm: PlacementVm;
  wishes: PlacementWishes;
  /** Hosts that are out of the question, whatever the rules say: a drain's own, or one that failed. */
  exclude?: readonly string[];
  /** For a plan: what holds beside what the hosts know. */
  supposed?: Supposed;
  /**
   * Present: the chosen host's room is reserved for it; with `waits` its room alone, as its move begins later, and no
   * limit of moves under way counts. Absent: only an explanation.
   */
  move?: ReservingMove & { waits?: true };
}

/** A choice, small enough for history. */
export interface PlaceAnswer {
  vm: string;
  policy: NonNullable<PlacementWishes['policy']>;
  /** Absent if no host takes the VM now. */
  chosen?: string;
  /** How many hosts were asked. */
  hosts: number;
  /** The best and the first of the refused, at most 50. */
  rows: PlacementRow[];
  /** How many hosts each filter refuses, the most first. */
  refusals: { filter: string; hosts: number }[];
  /** For the report of the move. */
  note: PlacementNote;
}

export interface ReserveMoveInput {
  cluster: string;
  move: ReservingMove;
  /** Absent: the VM comes from elsewhere, and takes a place into the target alone. */
  source?: string;
  target: string;
  vm: PlacementVm;
  /** Of the target its room alone: nothing comes yet. */
  waits?: true;
  /** For how long to ask again before a refusal is given, ms; absent: once. */
  waitMs?: number;
}

export type ReserveMoveAnswer =
  | {
      granted: true;
      /** Settings of both hosts that bear on the move; of the source if it has one. */
      source?: Pick<HostSettings, 'limits'>;
      target: Pick<HostSettings, 'limits' | 'migrationAddress'>;
    }
  /** `host-refused` (transient: may be granted later) or `host-disabled` (permanent). Nothing is reserved. */
  | { granted: false; fault: Fault };

export interface ReleaseMoveInput {
  cluster: string;
  moveId: string;
  hosts: readonly string[];
  /** The VM is on this host now: its room there stays promised until the host's next facts. */
  arrivedOn?: string;
  /** Only what placement promised: a run of the same move may be under way, and keeps what it has taken. */
  unstarted?: true;
}

export interface SetHostInput {
  cluster: string;
  host: string;
  order: HostOrder;
}

export interface ControlActivities {
  /** Chooses a host, and reserves its room if a move asks; a host that refuses meanwhile gives way to the next best. */
  place(input: PlaceInput): Promise<PlaceAnswer>;
  /** A place out of the source, if there is one, and one into the target, both or none. The same move again changes nothing. */
  reserveMove(input: ReserveMoveInput): Promise<ReserveMoveAnswer>;
  /** Gives the places of a move back; where it has none nothing happens. */
  releaseMove(input: ReleaseMoveInput): Promise<void>;
  /** Changes what people set of a host, and gives all of it. Throws `host-unknown` and `host-change-refused`. */
  setHost(input: SetHostInput): Promise<HostState>;
}
