import type { VmFacts } from '../../domain/vm.ts';
import type { Connection } from '../../protocols/libvirt/index.ts';
import { isRefusal } from './faults.ts';

/** CPU models with what blocks each of them make most of it. */
export const maxCapabilitiesBytes = 4 * 1024 * 1024;

/** What a host's hypervisor offers for a machine, as XML; empty if it has no such machine. */
export async function readDomainCapabilities(
  connection: Connection,
  { domainType, arch, machine }: Pick<VmFacts, 'domainType' | 'arch' | 'machine'>,
): Promise<string> {
  try {
    const { capabilities } = await connection.call('ConnectGetDomainCapabilities', {
      virtType: domainType,
      ...(arch === '' ? {} : { arch }),
      ...(machine === '' ? {} : { machine }),
    });
    return capabilities;
  } catch (error) {
    // The architecture's emulator is missing, or it does not know the machine or the domain type.
    if (isRefusal(error, 'CONFIG_UNSUPPORTED') || isRefusal(error, 'INVALID_ARG')) return '';
    throw error;
  }
}
