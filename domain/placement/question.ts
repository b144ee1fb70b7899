import { permanent } from '../errors.ts';
import { lookUp } from './bucket-map.ts';
import type { Fleet } from './fleet.ts';
import type { GroupRule, PlacementVm } from './vm.ts';

/** What the VM's disks ask of one pool, together. */
export interface PoolNeed {
  pool: string;
  /** To be copied there; 0 where only shared disks lie in it. */
  bytes: number;
  /** Whether volumes are made there. */
  copies: boolean;
}

/** A group of VMs, and how many of it each host has or awaits; hosts without any are not in it. */
export interface GroupOnHosts {
  group: string;
  hosts: ReadonlyMap<number, number>;
}

/** What one VM asks of every host, worked out once so that asking a thousand hosts stays cheap. */
export interface Question {
  readonly fleet: Fleet;
  readonly vm: PlacementVm;
  /** libvirt's UUID of the source; undefined if it is none of the fleet's hosts. */
  readonly sourceUuid: string | undefined;
  /** Stands for all that the filters ask which no reservation changes: equal keys, equal answers. */
  readonly fixedKey: string;
  /** `domainType/arch/machine`; empty if the VM names no machine. */
  readonly machine: string;
  readonly poolNeeds: readonly PoolNeed[];
  readonly networks: readonly string[];
  readonly bridges: readonly string[];
  readonly labels: readonly (readonly [string, string])[];
  /** Groups of hard affinity with other VMs on a host that is not being drained: only there they bind. */
  readonly together: readonly GroupOnHosts[];
  readonly apart: readonly GroupOnHosts[];
  readonly softTogether: readonly GroupOnHosts[];
  readonly softApart: readonly GroupOnHosts[];
  /** Empty if none is preferred. */
  readonly preferHost: string;
}

const nowhere: ReadonlyMap<number, number> = new Map();

/** Works out what `vm` asks. Throws a permanent `host-unknown` for a preferred host that is not in the fleet. */
export function questionOf(fleet: Fleet, vm: PlacementVm, preferHost = ''): Question {
  if (preferHost !== '' && !fleet.indexOf.has(preferHost)) {
    throw permanent({
      code: 'host-unknown',
      message: `no host is called ${preferHost}, which was preferred for ${vm.name}`,
      remedy: 'Correct the name of the preferred host.',
    });
  }
  const sourcesOf = (kind: 'network' | 'bridge'): string[] => [
    ...new Set(vm.nics.filter((nic) => nic.kind === kind).map(({ sourceName }) => sourceName)),
  ];
  const fixed = {
    machine: vm.machine === '' ? '' : `${vm.domainType}/${vm.arch}/${vm.machine}`,
    networks: sourcesOf('network'),
    bridges: sourcesOf('bridge'),
    labels: Object.entries(vm.requiredLabels),
  };
  const groupsOf = (kind: GroupRule['kind'], strength: GroupRule['strength']): GroupOnHosts[] =>
    vm.rules
      .filter((rule) => rule.kind === kind && rule.strength === strength)
      .map(({ group }) => ({ group, hosts: lookUp(fleet.groups, group) ?? nowhere }));
  const poolNeeds = poolNeedsOf(vm);
  const poolAsks = poolNeeds.map(({ pool, copies }) => [pool, copies]);
  return {
    fleet,
    vm,
    sourceUuid: fleet.hosts[fleet.indexOf.get(vm.host ?? '') ?? -1]?.hostUuid,
    fixedKey: JSON.stringify([fixed, vm.arch, vm.cpuModel, vm.firmware, poolAsks]),
    ...fixed,
    poolNeeds,
    together: groupsOf('affinity', 'hard').filter((group) => binds(fleet, vm, group)),
    apart: groupsOf('anti-affinity', 'hard'),
    softTogether: groupsOf('affinity', 'soft'),
    softApart: groupsOf('anti-affinity', 'soft'),
    preferHost,
  };
}

/** A draining host's VMs are on their way out: if they bound the others, none could be the first to go. */
function binds({ hosts }: Fleet, vm: PlacementVm, group: GroupOnHosts): boolean {
  for (const [at, vms] of group.hosts) {
    const host = hosts[at];
    const others = host?.name === vm.host ? vms - 1 : vms;
    if (host?.draining === false && others > 0) return true;
  }
  return false;
}

/** What the disks of a VM ask of each pool; a pool that no disk names has the empty name and is on no host. */
export function poolNeedsOf(vm: PlacementVm): PoolNeed[] {
  const needs = new Map<string, PoolNeed>();
  for (const { pool, bytes, shared } of vm.disks) {
    // A shared disk outside of any pool is for the move's own checks: they prove it with a nonce.
    if (shared && pool === '') continue;
    const need = needs.get(pool) ?? { pool, bytes: 0, copies: false };
    if (!shared) {
      need.bytes += bytes;
      need.copies = true;
    }
    needs.set(pool, need);
  }
  return [...needs.values()];
}

/** What the VM takes of the storage below a host's pool: two of its pools may lie on one store. */
export function bytesTakenOf(need: PoolNeed, at: number, { fleet, poolNeeds }: Question): number {
  if (poolNeeds.length === 1) return need.bytes;
  const storeOf = ({ pool }: PoolNeed): string | undefined =>
    fleet.hosts[at]?.pools.find(({ name }) => name === pool)?.store;
  const store = storeOf(need);
  if (store === undefined) return need.bytes;
  let bytes = 0;
  for (const other of poolNeeds) if (storeOf(other) === store) bytes += other.bytes;
  return bytes;
}
