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

/** What was read last, or is being read: by host. */
const latest = new WeakMap<HostParts, { atMs: number; facts: Promise<HostFacts> }>();
/** A check that asks both hosts has the target read ahead, ms. */
const recentMs = 5_000;

/** Everything about the host, read now; starts a probe domain to see whether the guard is live. */
export async function hostFacts(parts: HostParts): Promise<HostFacts> {
  const facts = readFacts(parts);
  latest.set(parts, { atMs: performance.now(), facts });
  return facts;
}

/** As `hostFacts`; what was read in the last seconds is as good, and what is being read is waited for. */
export async function recentHostFacts(parts: HostParts): Promise<HostFacts> {
  const known = latest.get(parts);
  if (known === undefined || performance.now() - known.atMs > recentMs) return hostFacts(parts);
  latest.delete(parts);
  try {
    return await known.facts;
  } catch {
    // Whoever asked then was told of it; this one has its own answer.
    return hostFacts(parts);
  }
}

async function readFacts(parts: HostParts): Promise<HostFacts> {
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
