/** A host as vmferry remembers it: what people set, what its worker last said, and which moves have a place there. */
import type { Reservation } from '../placement/host.ts';
import type { ConversionState } from './conversion.ts';
import type { HostReading } from './reading.ts';

/** How much of a host moves may take at a time. */
export interface HostLimits {
  /** Moves towards it, from their reservation until the VM is there; imports from their transfer on. */
  movesIn: number;
  /** Moves away from it. */
  movesOut: number;
  /** What leaves the host, over all moves, bytes a second; 0 is none. Absent: nobody set it. */
  upBytesPerSecond?: number;
  /** What comes to the host, likewise. Absent: as its own configuration says. */
  downBytesPerSecond?: number;
}

/** What people set. */
export interface HostSettings {
  /** Whether VMs may be moved to it. Moves away from it are not touched by this. */
  enabled: boolean;
  /** Its VMs are being moved away; it takes none meanwhile. */
  draining: boolean;
  labels: Readonly<Record<string, string>>;
  limits: HostLimits;
  /** Where other hosts reach it for live migrations, instead of what its own configuration says. */
  migrationAddress?: string;
  /** vCPUs that may run for each logical CPU. */
  vcpuRatio: number;
}

/** Who a place belongs to. */
export interface SlotHolder {
  /** Names the move on both hosts; a second reservation under it changes nothing. */
  moveId: string;
  /** The workflow that gives it back; once Temporal says that this is closed the place is free. */
  workflowId: string;
  /** The first run of that workflow, where it is known: the next move of the same VM has the same workflow ID. */
  runId?: string;
  /** Name of the VM, for people. */
  vm: string;
  /** ISO 8601, UTC. */
  since: string;
}

/** The place of a move away from the host. */
export type OutSlot = SlotHolder;

/** The place of a move towards the host, with the room that it was promised. */
export interface InSlot extends SlotHolder {
  reservation: Reservation;
  /** The room alone: nothing comes yet, and the limit does not count it. */
  waits?: true;
  /**
   * The VM is there and the move counts no more, but the room stays promised until the host's next facts show the VM.
   * ISO 8601, UTC.
   */
  arrived?: string;
}

/** The caps that a host's worker said it holds to, bytes a second; 0 is none. */
export interface BandwidthInForce {
  upBytesPerSecond: number;
  downBytesPerSecond: number;
}

export interface HostState {
  settings: HostSettings;
  /** What its worker last said; absent before it first did. */
  reading?: HostReading;
  movesIn: readonly InSlot[];
  movesOut: readonly OutSlot[];
  /** Absent while nobody set any, or the worker has not taken them over yet. */
  bandwidth?: BandwidthInForce;
  /** Why the worker has not taken the last caps over. */
  bandwidthTrouble?: string;
  /** As a conversion host; absent while no person changed anything of that. */
  conversion?: ConversionState;
  /** The latest change that a person made. */
  changed?: { operator: string; at: string };
}

/**
 * Two moves each way, as in the field (oVirt's defaults are the same two): one more hides the start and the end of the
 * others, and with many all of them become slow. It is also what `host.limits.parallelCopies` begins with.
 */
const defaultMoves = 2;
/** OpenStack's long-standing ratio; far above what a host should come to, so that only a person's figure binds. */
const defaultVcpuRatio = 16;

export const newHost: HostState = {
  settings: {
    enabled: true,
    draining: false,
    labels: {},
    limits: { movesIn: defaultMoves, movesOut: defaultMoves },
    vcpuRatio: defaultVcpuRatio,
  },
  movesIn: [],
  movesOut: [],
};

/** Moves towards the host that are under way: what the limit counts. */
export const movesInUnderWay = ({ movesIn }: Pick<HostState, 'movesIn'>): number =>
  movesIn.filter(({ arrived, waits }) => arrived === undefined && waits === undefined).length;
