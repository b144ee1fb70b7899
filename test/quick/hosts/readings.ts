import type { HostReading } from '../../../domain/hosts/reading.ts';
import { host } from '../placement/fleets.ts';

/** What the worker of a host tells that takes the VM of `fleets.ts`. */
export const reading = (changes: Partial<HostReading> = {}): HostReading => {
  const { hostUuid, arch, machines, cpus, memoryBytes, freeMemoryBytes } = host('any');
  const { networks, bridges, pools, runningVms, runningVcpus, groups } = host('any');
  return {
    ...{ hostUuid, arch, machines, cpus, memoryBytes, freeMemoryBytes, networks, bridges, pools },
    ...{ runningVms, runningVcpus, groups, vms: 3, libvirtVersion: '9.0.0' },
    hypervisorVersion: '7.2.0',
    bandwidth: { upBytesPerSecond: 0, downBytesPerSecond: 0 },
    readAt: '2026-03-04T10:00:00.000Z',
    ...changes,
  };
};
