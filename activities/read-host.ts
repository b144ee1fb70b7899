import { Handling, VmFerryError } from '../domain/errors.ts';
import { readingOf } from '../domain/hosts/reading.ts';
import type { HostReading } from '../domain/hosts/reading.ts';
import { OwnerState } from '../domain/ownership.ts';
import { remembering } from '../platforms/libvirt/remembering.ts';
import { XmlError } from '../platforms/libvirt/xml.ts';
import type { HostBandwidth } from './host-bandwidth.ts';
import type { HostParts } from './parts.ts';
import { readWishes } from './placement-wishes.ts';

/** What placement has to know of the host, read now; starts nothing. Rejects if libvirt does not answer. */
export async function readHost(
  { hypervisor, ledger }: Pick<HostParts, 'hypervisor' | 'ledger'>,
  bandwidth: HostBandwidth,
): Promise<HostReading> {
  const [facts, vms, { entries }] = await Promise.all([
    hypervisor.facts(),
    hypervisor.list(),
    ledger.list(),
  ]);
  const gone = new Set(
    entries.filter(({ state }) => state === OwnerState.released).map(({ uuid }) => uuid),
  );
  const groups: Record<string, number> = {};
  for (const { uuid } of vms) {
    // What moved away and awaits its commit is another host's.
    if (gone.has(uuid)) continue;
    for (const group of await groupsOf(hypervisor, uuid)) groups[group] = (groups[group] ?? 0) + 1;
  }
  return readingOf(facts, {
    runningVcpus: vms
      .filter(({ uuid }) => facts.vms.some((vm) => vm.uuid === uuid && vm.running))
      .reduce((sum, { vcpus }) => sum + vcpus, 0),
    groups,
    bandwidth: await bandwidth.inForce(),
    readAt: new Date().toISOString(),
  });
}

const wishesOf = remembering(readWishes);

/** The groups that a VM belongs to: those that its own rules name. None of a VM that is gone or is not persistent. */
async function groupsOf(
  hypervisor: Pick<HostParts['hypervisor'], 'definition'>,
  uuid: string,
): Promise<Set<string>> {
  try {
    const { wishes } = wishesOf(await hypervisor.definition(uuid));
    return new Set(wishes.rules.map(({ group }) => group));
  } catch (error) {
    // One VM that cannot be read must not keep the host from telling its facts; libvirt that is away does.
    const isAway = error instanceof VmFerryError && error.handling === Handling.transient;
    if (isAway || !(error instanceof VmFerryError || error instanceof XmlError)) throw error;
    return new Set();
  }
}
