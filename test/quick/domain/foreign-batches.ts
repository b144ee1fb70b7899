/** For each rule of batches a case in which it speaks. */
import type { BatchEntry, BatchView } from '../../../domain/checks/foreign/views.ts';
import type { ForeignVm } from '../../../domain/foreign.ts';
import type { ImportRequest } from '../../../domain/import.ts';
import { planImport } from '../../../domain/import/plan.ts';
import { beta, gibibyte, pool } from './facts.ts';
import { conversionHost, foreignNic, foreignVm, told } from './foreign-facts.ts';
import { questionOf } from './foreign-fixtures.ts';
import type { ForeignCase } from './foreign-fixtures.ts';

/** An import of a batch, planned where it can be. */
function entry(given: ForeignCase = {}): BatchEntry {
  const { vm, request, target } = questionOf(given);
  const plan = planImport({ vm, request, target, newUuid: `new-${vm.id}` });
  return { vm, request, plan };
}

/** The second of two that have nothing in common. */
const another = (vm: Partial<ForeignVm> = {}, request: Partial<ImportRequest> = {}) =>
  entry({
    vm: {
      id: 'db',
      name: 'db',
      uuid: '6f1a2b3c-0000-4000-8000-000000000003',
      nics: [foreignNic({ mac: '00:50:56:00:00:02' })],
      guestNetwork: [told({ mac: '00:50:56:00:00:02' })],
      ...vm,
    },
    request: { vm: 'db', ...request },
  });

export const batch = (changes: Partial<BatchView> = {}): BatchView => ({
  entries: [entry(), another()],
  targets: [beta()],
  conversionHosts: [conversionHost()],
  ...changes,
});

const twice = (vm: Partial<ForeignVm>, request: Partial<ImportRequest> = {}): BatchView =>
  batch({ entries: [entry(), another(vm, request)] });

export const batchFixtures: { code: string; view: BatchView; says: string }[] = [
  {
    code: 'batch-too-large',
    view: batch({
      entries: Array.from({ length: 51 }, (_, index) =>
        another({ id: `v${index}`, name: `v${index}`, uuid: `u${index}`, nics: [foreignNic()] }),
      ),
    }),
    says: '51 VMs are asked for at once, 50 at most',
  },
  {
    code: 'vm-twice',
    view: batch({ entries: [entry(), entry()] }),
    says: 'web (web) is asked for',
  },
  {
    code: 'name-twice',
    view: twice({}, { shape: { name: 'web' } }),
    says: 'several VMs would be called web on beta: web, db',
  },
  {
    code: 'uuid-twice',
    view: twice({ uuid: foreignVm().uuid.toUpperCase() }),
    says: `several VMs have the UUID ${foreignVm().uuid}: web, db`,
  },
  {
    code: 'mac-shared',
    view: twice({ nics: [foreignNic()] }),
    says: 'several VMs would have the MAC address 00:50:56:00:00:01: web, db',
  },
  {
    code: 'address-shared',
    view: batch({
      entries: ['2001:db8::30/64', '2001:DB8:0::30/64'].map((address, index) => {
        const request = { shape: { addresses: [{ key: 'nic1', addresses: [address] }] } };
        return index === 0 ? entry({ request }) : another({}, request);
      }),
    }),
    says: 'several VMs would be given the address 2001:db8::30: web, db',
  },
  {
    code: 'volume-twice',
    view: batch({ entries: [entry({ vm: { name: 'a b' } }), another({ name: 'a_b' })] }),
    says: 'disks of several VMs would go to default/a_b-0.qcow2 of beta: a b, a_b',
  },
  {
    code: 'map-unused',
    view: twice({}, { networks: { 'VM Network': 'bridge:br0', 'VM network': 'bridge:br0' } }),
    says: 'the map names the network "VM network", which no VM of the request is on',
  },
  {
    code: 'batch-too-little-room',
    view: batch({ targets: [beta({ pools: [pool({ availableBytes: 3 * gibibyte })] })] }),
    says: 'all disks of the request need 4096 MiB in pool default of beta, which has 3008 MiB free',
  },
  {
    code: 'batch-memory-tight',
    view: batch({
      entries: [
        entry({ request: { autoStart: true }, vm: { memoryBytes: 3 * gibibyte } }),
        another({}, { autoStart: true }),
      ],
    }),
    says: 'all VMs of the request need 5120 MiB of memory on beta, which has 4096 MiB free',
  },
  {
    code: 'batch-too-many-vcpus',
    view: batch({
      entries: [entry({ request: { autoStart: true } }), another({}, { autoStart: true })],
      targets: [{ ...beta(), runningVcpus: 61 }],
    }),
    says: 'all VMs of the request have 4 CPUs on beta, which may take 3 more',
  },
  {
    code: 'batch-cache-full',
    view: batch({ conversionHosts: [conversionHost({ promisedBytes: 96 * gibibyte })] }),
    says: 'all VMs of the request need 5120 MiB in the cache of gamma, which has 4032 MiB for them',
  },
];
