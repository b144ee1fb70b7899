import { describe, expect, it } from 'vitest';
import { findVm } from '../../../client/find-vm.ts';
import type { VmSummary } from '../../../domain/vm.ts';

const uuid = '0f3c9a2e-4b6d-4a57-9a3e-5d1c2b7e8f90';
const on = (host: string, change: Partial<VmSummary> = {}): VmSummary => ({
  host,
  uuid,
  name: 'web-1',
  state: 'running',
  memoryBytes: 1,
  vcpus: 1,
  diskBytes: 1,
  ...change,
});
const list = (...vms: VmSummary[]) => ({ vms, unreachable: [] });

describe('the host of a VM that is named without one', () => {
  it('is where its name or UUID is', () => {
    const vms = list(on('alpha'), on('beta', { name: 'db', uuid: 'other' }));
    expect(findVm(vms, 'web-1').host).toBe('alpha');
    expect(findVm(vms, uuid.toUpperCase()).host).toBe('alpha');
  });

  it('is the one that owns it, whatever copies a move has left', () => {
    const vms = list(
      on('alpha', { state: 'shut-off', ownership: 'released' }),
      on('beta', { ownership: 'owner' }),
      on('gamma', { state: 'shut-off', ownership: 'quarantined' }),
    );
    expect(findVm(vms, 'web-1').host).toBe('beta');
  });

  it('is asked for where two VMs bear the name', () => {
    const vms = list(on('alpha'), on('beta', { uuid: 'other' }));
    expect(() => findVm(vms, 'web-1')).toThrow(
      expect.objectContaining({
        code: 'vm-ambiguous',
        message: expect.stringMatching(/alpha.*beta/u) as unknown,
      }),
    );
  });

  it('is unknown where no host has it, or only copies are left', () => {
    expect(() => findVm(list(), 'web-1')).toThrow(
      expect.objectContaining({ code: 'vm-not-found' }),
    );
    expect(() => findVm(list(on('alpha', { ownership: 'released' })), 'web-1')).toThrow(
      /copies are on alpha \(released\)/u,
    );
  });

  it('is not said to be unknown while a host is silent', () => {
    const vms = { vms: [], unreachable: [{ host: 'beta', reason: 'no worker' }] };
    expect(() => findVm(vms, 'web-1')).toThrow(expect.objectContaining({ code: 'host-silent' }));
  });
});
