/** On which host a VM is that a person names without one. */
import { permanent, transient } from '../domain/errors.ts';
import { OwnerState } from '../domain/ownership.ts';
import type { VmSummary } from '../domain/vm.ts';
import type { ListVmsResult } from '../workflows/contract.ts';

/** What a move leaves on the host that it came from, or puts on the one it goes to: not the VM itself. */
const copies: readonly (string | undefined)[] = [
  OwnerState.released,
  OwnerState.incoming,
  OwnerState.quarantined,
];

/**
 * The VM of that name or UUID, on the host that owns it; of one that no move has touched, on the host where it is.
 * Throws `vm-not-found`, `vm-ambiguous`, and `host-silent` where a host that did not answer may have it.
 */
export function findVm({ vms, unreachable }: ListVmsResult, word: string): VmSummary {
  const named = vms.filter(({ name, uuid }) => name === word || uuid === word.toLowerCase());
  const homes = named.filter(({ ownership }) => !copies.includes(ownership));
  const [only, other] = homes;
  if (other !== undefined) {
    const where = homes.map(({ uuid, host }) => `${uuid} on ${host}`).join(', ');
    throw permanent({
      code: 'vm-ambiguous',
      message: `${homes.length} VMs are meant by ${word}: ${where}`,
      remedy: 'Name its host with --from, or the VM by its UUID.',
    });
  }
  if (only !== undefined) return only;
  if (unreachable.length > 0) {
    const silent = unreachable.map(({ host }) => host).join(', ');
    throw transient({
      code: 'host-silent',
      message: `no host that answered has a VM ${word}, and ${silent} did not answer`,
      remedy: 'Name its host with --from, or see `vmferry doctor`.',
    });
  }
  const left = named.map(({ host, ownership }) => `${host} (${ownership ?? ''})`).join(', ');
  throw permanent({
    code: 'vm-not-found',
    message:
      left === ''
        ? `no host that is online has a VM ${word}`
        : `no host owns ${word}; copies are on ${left}`,
    remedy: 'List the VMs with `vmferry vms`.',
  });
}
