export { openPool, NbdClient } from './client.ts';
export { hashOnThread, NbdReaders } from './reader-threads.ts';
export type {
  ExportInfo,
  NbdTlsOptions,
  OpenPoolOptions,
  WriteOptions,
  WriteZeroesOptions,
} from './client.ts';
export type { NbdAddress } from './channel.ts';
export type { StatusExtent } from './command.ts';
export { AllocationFlag } from './constants.ts';
export { NbdError, NbdErrorKind } from './errors.ts';
