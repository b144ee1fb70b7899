import type { ForeignSource } from '../../domain/foreign.ts';
import type { ProviderLine } from '../../domain/import.ts';
import type { ServerIdentity } from '../../domain/orphans.ts';
import type { HostParts } from '../parts.ts';
import type { Turns } from '../turns.ts';
import type { ConversionTermsInForce } from './conversion-terms.ts';
import type { RehearsalParts } from './rehearse-parts.ts';

export interface OpenProviderOptions {
  /** Marks what is left at the source while it is open, so that a later attempt finds it. */
  label: string;
  /** A guest that runs is paused before its disks are read. */
  pause: boolean;
  /** Whether bytes of disks are read for good; else it is only looked at, and what checks all of them is left out. */
  reads: boolean;
  signal: AbortSignal;
}

/** The foreign platforms that the configuration of this host names; secrets stay behind it. */
export interface ForeignProviders {
  lines(): ProviderLine[];
  /** Throws `provider-unknown`, and what the platform throws where it is not reached or lets nobody in. */
  open(provider: string, options: OpenProviderOptions): Promise<ForeignSource>;
}

export interface ConversionSettings {
  /** Absolute; what was copied lies there until it is dropped. */
  cacheDir: string;
  /** This host's address in the network that imports go over. Throws `network-not-here`. Absent: as every move. */
  address?: () => string;
  /** How long the cache keeps what was copied, where an import does not say. */
  cacheSeconds?: number;
  /** Folder or ISO with drivers for Windows. */
  virtioWin?: string;
  /** `virt-v2v-in-place` if absent. */
  program?: string;
  /** Gives the value of a secret that the configuration names; never logged. */
  secret(reference: string): Promise<Uint8Array>;
}

/** What the verbs of a conversion host share. */
export interface ImportParts {
  host: HostParts;
  providers: ForeignProviders;
  conversion: ConversionSettings;
  /** What people set: caps, how many at a time, whether imports may begin. */
  terms: ConversionTermsInForce;
  /** As many as the terms say. */
  turns: Turns;
  /** The server that the worker is connected to, as last seen. */
  server: () => ServerIdentity;
  /** Absent only where a test has no use for them. */
  rehearsals?: RehearsalParts;
}
