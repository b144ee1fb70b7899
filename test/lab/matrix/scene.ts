/** One move of one VM with one fault in it: what the rows of the fault table play on. */
import type { FerryMove } from '../../../cli/ferry.ts';
import type { Phase } from '../../../domain/move.ts';
import type { LabHost } from '../../../lab/host.ts';
import type { RunLog } from '../../../lab/runs.ts';
import type { LabVm } from '../../../lab/vm.ts';
import type { Stage } from '../stage.ts';

/** Where the VM's disk lies: in a pool of its host's own, or on a block device that both hosts see. */
export type Storage = 'file' | 'block';

export interface Scene {
  stage: Stage;
  runs: RunLog;
  /** How many runs of the VM were known before the move. */
  runsBefore: number;
  vm: LabVm;
  storage: Storage;
  from: string;
  to: string;
  source: LabHost;
  target: LabHost;
  move: FerryMove;
  /** Undoes what a fault did, at the latest when the row ends, in reverse; what was undone before does no harm. */
  mend(undo: () => Promise<void> | void): void;
  /** For the result's table: what was seen when the fault struck. */
  note(text: string): void;
}

export interface FaultRow {
  /** What happens, and when: the rest of "ends right though ...". */
  name: string;
  /** Where the disk lies in the rows that CI runs; empty for a row of the widest table only. */
  storages: readonly Storage[];
  /** More of them with VMFERRY_FAULTS=all. */
  also?: readonly Storage[];
  /** How the move has to end. */
  end: Extract<Phase, 'committed' | 'cancelled' | 'rolled-back' | 'failed'>;
  /** Codes that the first error may have; without them there may be none, or any that passes by itself. */
  codes?: readonly string[];
  /** Whether the move waits for a person after the start; default: it commits by itself. */
  waits?: boolean;
  /** Whether no other move may be under way, since the fault would park it. */
  alone?: boolean;
  /** Waits for the moment, strikes, mends, gives orders. */
  play(scene: Scene): Promise<void>;
}
