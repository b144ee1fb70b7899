import type { ExportEndpoint } from '../activities/contract.ts';
import type { DiskFormat } from '../domain/vm.ts';

/** Copies one disk with journal and syncs into a file that may not exist yet. */
export interface CopyOrder {
  do: 'copy';
  /** The product's export, over TLS; or a plain one, which only the benchmark has. */
  source:
    { endpoint: ExportEndpoint } | { plain: { address: string; port: number; exportName: string } };
  path: string;
  format: DiskFormat;
  sizeBytes: number;
  moveId: string;
  /** Hash it meanwhile, as a move that verifies does. */
  followed: boolean;
}

/** What a data path process can be told to do. */
export type DataPlaneOrder =
  | CopyOrder
  | {
      do: 'export';
      export: {
        migrationId: string;
        name: string;
        path: string;
        format: DiskFormat;
        target: string;
      };
    }
  | { do: 'close-exports'; moveId: string }
  | { do: 'hash'; path: string; format: DiskFormat; side: 'source' | 'target' }
  | { do: 'usage' };

/** What it answers; which members are there depends on the order. */
export interface Answer {
  endpoint?: ExportEndpoint;
  /** How long the order took, within the process. */
  seconds?: number;
  /** The root of a hash tree, hex. */
  root?: string;
  /** User and system time of the process since its start. */
  cpuSeconds?: number;
  /** The most memory that the process ever held. */
  peakRssMiB?: number;
  failed?: string;
}
