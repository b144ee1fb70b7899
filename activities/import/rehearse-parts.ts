import type { VmState } from '../../domain/vm.ts';
import type { ConsoleLook } from '../../platforms/libvirt/rehearsal.ts';
import type {
  HostAddress,
  RehearsalDomain,
  RehearsalName,
} from '../../platforms/libvirt/rehearsal-xml.ts';

/** Where rehearsals are played: this host's libvirt, which `platforms/libvirt/rehearsal.ts` asks. Tests may fake it. */
export interface RehearsalHost {
  consolePath(as: RehearsalName): string;
  /** Whom QEMU runs as. */
  emulator(): Promise<{ uid: number; gid: number }>;
  /** Stands still until `run`. `addresses`: of this host, by the segments' places. */
  begin(domain: RehearsalDomain, addresses: readonly (HostAddress | undefined)[]): Promise<void>;
  run(as: RehearsalName): Promise<void>;
  /** Undefined once it is gone. */
  state(as: RehearsalName): Promise<VmState | undefined>;
  agentAnswers(as: RehearsalName): Promise<boolean>;
  console(as: RehearsalName, from: number, mostBytes: number): Promise<ConsoleLook>;
  /** Nothing of it is left; safe where there is nothing. */
  end(as: RehearsalName): Promise<void>;
}

/** What a host's configuration says of rehearsals, and where they are played. */
export interface RehearsalParts {
  host: RehearsalHost;
  /** Programs with their arguments, by the names that requests may say. */
  checks: Readonly<Record<string, readonly string[]>>;
}
