import type { HostFacts } from '../domain/host.ts';
import type { HostParts } from './parts.ts';
import type { VmSummary } from '../domain/vm.ts';

/** The host's VMs, each with what its guard says. */
export async function listVms({ hypervisor, ledger }: HostParts): Promise<VmSummary[]> {
  const [vms, { entries, corrupt }] = await Promise.all([hypervisor.list(), ledger.list()]);
  return vms.map((vm) => {
    const entry = entries.find(({ uuid }) => uuid === vm.uuid);
    const broken = corrupt.some(({ uuid }) => uuid === vm.uuid);
    if (entry === undefined && !broken) return vm;
    return { ...vm, ownership: entry?.state ?? 'ledger-corrupt' };
  });
}

/** Everything about the host, read now; starts a probe domain to see whether the guard is live. */
export async function hostFacts(parts: HostParts): Promise<HostFacts> {
  const [facts, probe] = await Promise.all([
    parts.hypervisor.facts(),
    parts.hypervisor.probeGuard(),
  ]);
  return {
    ...facts,
    name: parts.name,
    version: parts.version,
    migrationAddress: parts.migrationAddress,
    guard: { hookLive: probe.live, detail: probe.detail },
  };
}
