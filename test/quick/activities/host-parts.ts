import { Operations } from '../../../activities/operations.ts';
import type { DataPlane, HostParts, Hypervisor } from '../../../activities/parts.ts';
import { Ledger } from '../../../guard/ledger.ts';

export interface PlayedHost {
  name: string;
  /** A real folder: the ledger is written to it. */
  stateDir: string;
  hypervisor: Partial<Hypervisor>;
  dataPlane?: Partial<DataPlane>;
}

/** The parts of a host whose hypervisor and exports a test plays, as far as it has need of them. */
export const hostParts = ({
  name,
  stateDir,
  hypervisor,
  dataPlane = {},
}: PlayedHost): HostParts => ({
  ...{ name, version: '0', migrationAddress: '127.0.0.1', stateDir, bandwidthBytesPerSecond: 0 },
  hypervisor: hypervisor as Hypervisor,
  dataPlane: dataPlane as DataPlane,
  ledger: new Ledger({ stateDir, host: name }),
  operations: new Operations(),
});
