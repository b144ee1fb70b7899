/** What only vSphere can say against moving a VM, or before it. */
import type { Concern } from '../../domain/concerns.ts';
import type { ForeignVm } from '../../domain/foreign.ts';
import { VmState } from '../../domain/vm.ts';
import { vmRef } from './inventory.ts';
import { plainAt } from './numbers.ts';
import { propertiesOf } from './properties.ts';
import type { PropertySet } from './properties.ts';
import type { VsphereSession } from './session.ts';
import { diskViewsOf } from './vm-facts.ts';

const properties = [
  'config.hardware',
  'config.bootOptions',
  'config.template',
  'config.changeTrackingEnabled',
  'runtime.powerState',
  'runtime.connectionState',
  'runtime.faultToleranceState',
  'runtime.consolidationNeeded',
  'guest.toolsRunningStatus',
];

type Rule = (facts: {
  found: PropertySet;
  vm: ForeignVm;
  readsChains: boolean;
}) => Omit<Concern, 'host'>[];

const one = (
  isSo: boolean,
  level: Concern['level'],
  [code, message, remedy]: readonly [string, string, string],
): Omit<Concern, 'host'>[] => (isSo ? [{ code, level, message, remedy }] : []);

const rules: readonly Rule[] = [
  ({ found, vm }) => {
    const state = found.text('runtime.connectionState');
    return one(state !== '' && state !== 'connected', 'critical', [
      'vsphere-disconnected',
      `${vm.name} is ${state}: its ESXi host does not answer, or its files are missing`,
      'Bring its host or its datastore back.',
    ]);
  },
  ({ found, vm }) =>
    one(found.text('runtime.powerState') === 'suspended', 'critical', [
      'vsphere-suspended',
      `${vm.name} is suspended: its memory cannot come along`,
      'Resume it and shut it down, or power it off and lose what was in its memory.',
    ]),
  ({ found, vm }) => {
    const state = found.text('runtime.faultToleranceState');
    return one(state !== '' && state !== 'notConfigured', 'critical', [
      'vsphere-fault-tolerance',
      `${vm.name} is protected by Fault Tolerance`,
      'Turn Fault Tolerance off for it.',
    ]);
  },
  ({ found, vm, readsChains }) =>
    diskViewsOf(found).flatMap(({ label, key, hasParent }) =>
      one(hasParent && !readsChains, 'critical', [
        'vsphere-disk-on-snapshot',
        `disk ${label || key} of ${vm.name} lies on a snapshot or is a linked clone; VDDK alone gives its bytes out as one`,
        'Remove the snapshots, make the clone a full one, or configure VDDK.',
      ]),
    ),
  ({ found, vm }) =>
    one(found.text('runtime.consolidationNeeded') === 'true', 'warning', [
      'vsphere-consolidation-needed',
      `disks of ${vm.name} have to be consolidated`,
      'Consolidate them in vSphere first.',
    ]),
  ({ found, vm }) =>
    one(
      found.text('runtime.powerState') === 'poweredOn' &&
        found.text('guest.toolsRunningStatus') !== 'guestToolsRunning',
      'warning',
      [
        'vsphere-tools-not-running',
        `VMware Tools do not run in ${vm.name}: it cannot be asked to shut down, and its addresses are not known`,
        'Start them in the guest, or allow it to be powered off (--running shutdown-or-force-off) and see to its addresses on the target.',
      ],
    ),
  ({ vm }) =>
    one(vm.state === VmState.shutOff && vm.guestNetwork.length === 0, 'information', [
      'vsphere-addresses-unknown',
      `${vm.name} is off, so vSphere does not tell its addresses`,
      'If it has static ones, power it on once and look again, or see to them on the target.',
    ]),
  ({ found, vm }) =>
    one(found.text('config.changeTrackingEnabled') !== 'true', 'information', [
      'vsphere-change-tracking-off',
      `changed blocks of ${vm.name} are not tracked: it cannot be copied ahead while it runs`,
      'Turn change tracking (CBT) on, if it is to be copied while it runs.',
    ]),
  ({ found, vm }) =>
    one(found.text('config.template') === 'true', 'information', [
      'vsphere-template',
      `${vm.name} is a template`,
      'Nothing to do: what comes out is a VM.',
    ]),
  ({ found, vm }) => {
    const delay = plainAt(found.get('config.bootOptions'), 'enterBIOSSetup');
    return one(delay === 'true', 'warning', [
      'vsphere-enters-setup',
      `${vm.name} would enter its firmware's setup at the next start`,
      'Nothing to do for the move: the setting does not come along.',
    ]);
  },
];

/** Rejects with VmFerryError: `vm-not-found`. */
export async function vsphereConcerns(
  session: VsphereSession,
  vm: ForeignVm,
  { readsChains, signal }: { readsChains: boolean; signal?: AbortSignal | undefined },
): Promise<Concern[]> {
  const what = `look for what speaks against moving ${vm.name} (${vm.id})`;
  const found = await propertiesOf(session, vmRef(vm.id), properties, { what, signal });
  return rules
    .flatMap((rule) => rule({ found, vm, readsChains }))
    .map((concern) => ({ ...concern, host: session.host }));
}
