import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure } from '@temporalio/common';
import type { ControlActivities, PlaceInput } from '../../../activities/control/contract.ts';
import type { VmFacts, VmSummary } from '../../../domain/vm.ts';

/** A host in memory: its VMs by name, and where `place` sends them. */
export class DrainedHost {
  readonly name: string;
  readonly vms = new Map<string, VmSummary['state']>();
  /** The hosts that take VMs, best first. */
  targets = ['beta', 'gamma'];
  /** VMs that none of them takes. */
  readonly refused = new Set<string>();
  readonly placed: PlaceInput[] = [];
  /** How long it takes until a VM is placed, ms. */
  readonly placeMs = new Map<string, number>();
  readonly orders: unknown[] = [];

  constructor(name: string, vms: Record<string, VmSummary['state']>) {
    this.name = name;
    for (const [vm, state] of Object.entries(vms)) this.vms.set(vm, state);
  }

  uuidOf = (vm: string): string => `${this.name}-${vm}`;

  list(): VmSummary[] {
    return [...this.vms].map(([name, state]) => ({
      ...{ host: this.name, uuid: this.uuidOf(name), name, state },
      ...{ memoryBytes: 1, vcpus: 1, diskBytes: 1 },
    }));
  }

  inspect(uuid: string): VmFacts {
    const summary = this.list().find((one) => one.uuid === uuid);
    if (summary === undefined) {
      const fault = { code: 'vm-not-found', handling: 'permanent', message: 'gone', remedy: 'r' };
      throw ApplicationFailure.create({ type: 'x', nonRetryable: true, details: [fault] });
    }
    return {
      ...summary,
      ...{ persistent: true, autostart: false, hasManagedSave: false },
      ...{ domainType: 'qemu', arch: 'x86_64', machine: 'pc', emulator: '' },
      ...{ snapshots: [], checkpoints: [], disks: [], nics: [], hostFiles: [], fixedDevices: [] },
    };
  }

  async place(input: PlaceInput): ReturnType<ControlActivities['place']> {
    this.placed.push(input);
    const ms = this.placeMs.get(input.vm.name);
    if (ms !== undefined) await delay(ms);
    const takes = (host: string): boolean =>
      !this.refused.has(input.vm.name) && input.exclude?.includes(host) !== true;
    const chosen = this.targets.find(takes);
    return {
      vm: input.vm.name,
      policy: 'fewest-vms',
      ...(chosen === undefined ? {} : { chosen }),
      hosts: 3,
      rows: [],
      refusals: [],
      note: { policy: 'fewest-vms', reasons: ['beta is ruled out: it is full'] },
    };
  }
}
