import type { HostFacts } from '../domain/host.ts';
import type { VmFacts, VmGlance } from '../domain/vm.ts';
import type { ListVmsInput, ListVmsResult } from './contract.ts';
import { faultOf, orFault } from './faults.ts';
import { activitiesOf, limits } from './on-host.ts';

/** Which VM of a host is meant; the client resolves names by it before a move starts. */
export async function findVm(input: { host: string; vm: string }): Promise<VmGlance> {
  return orFault(input.host, `look up ${input.vm}`, () =>
    activitiesOf(input.host, `${input.host}: find ${input.vm}`, limits.check).findVm({
      vm: input.vm,
    }),
  );
}

/** One VM's facts, read on its host now. */
export async function inspectVm(input: { host: string; vm: string }): Promise<VmFacts> {
  return orFault(input.host, `look up ${input.vm}`, () =>
    activitiesOf(input.host, `${input.host}: look up ${input.vm}`, limits.check).inspectVm({
      vm: input.vm,
    }),
  );
}

/** A host's facts, read now, the proof of its guard included. */
export async function inspectHost(input: { host: string }): Promise<HostFacts> {
  return orFault(input.host, 'read host facts', () =>
    activitiesOf(input.host, `${input.host}: read facts`, limits.check).hostFacts(),
  );
}

/** The VMs of many hosts; one that does not answer does not hide the others. */
export async function listVms({ hosts }: ListVmsInput): Promise<ListVmsResult> {
  const answers = await Promise.all(
    hosts.map(async (host): Promise<ListVmsResult> => {
      try {
        const vms = await activitiesOf(host, `${host}: list VMs`, limits.check).listVms();
        return { vms, unreachable: [] };
      } catch (error) {
        const fault = faultOf(error, { host, what: 'list VMs' });
        return { vms: [], unreachable: [{ host, reason: fault.message }] };
      }
    }),
  );
  return {
    vms: answers.flatMap(({ vms }) => vms),
    unreachable: answers.flatMap(({ unreachable }) => unreachable),
  };
}
