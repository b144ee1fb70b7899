import type { VmFacts, VmNic } from '../vm.ts';

/** A wish to be near the other VMs of a group, or away from them. */
export interface GroupRule {
  /** A VM belongs to each group that a rule of its own names. */
  group: string;
  kind: 'affinity' | 'anti-affinity';
  /** `hard`: hosts that break it are refused. `soft`: they get fewer points. */
  strength: 'hard' | 'soft';
}

export interface PlacementDisk {
  name: string;
  /** Bytes that it takes in the pool; nothing is taken for a shared one. */
  bytes: number;
  /** Pool that it goes to, or that a shared one lies in; empty if no pool is named. */
  pool: string;
  /** Both hosts have to see the pool, and nothing is copied. */
  shared: boolean;
}

/** What a VM asks of a host. */
export interface PlacementVm extends Pick<
  VmFacts,
  'name' | 'vcpus' | 'memoryBytes' | 'domainType' | 'arch' | 'machine'
> {
  /** The host that it is on now; absent if it comes from elsewhere. */
  host?: string;
  /** The CPU model that its definition names; absent if it names none or takes the host's. */
  cpuModel?: string;
  /** `bios` or `efi`; absent if it does not matter. */
  firmware?: 'bios' | 'efi';
  disks: readonly PlacementDisk[];
  nics: readonly Pick<VmNic, 'kind' | 'sourceName'>[];
  /** Labels that the host must have, with these values. */
  requiredLabels: Readonly<Record<string, string>>;
  rules: readonly GroupRule[];
}
