import fc from 'fast-check';
import { expect, it } from 'vitest';
import { targetShape } from '../../../convert/target-shape.ts';
import type { TargetDisk } from '../../../convert/target-shape.ts';
import { targetXml } from '../../../convert/target-xml.ts';
import { importConcerns } from '../../../domain/checks/foreign/concerns.ts';
import { blocks } from '../../../domain/concerns.ts';
import { VmFerryError } from '../../../domain/errors.ts';
import type { ForeignVm } from '../../../domain/foreign.ts';
import type { ImportPlan, ImportQuestion, ImportRequest } from '../../../domain/import.ts';
import { isUsableMac } from '../../../domain/import/macs.ts';
import { planImport } from '../../../domain/import/plan.ts';
import { beta, gibibyte, pool } from './facts.ts';
import {
  foreignDisk,
  foreignNic,
  foreignVm,
  importQuestion,
  importRequest,
} from './foreign-facts.ts';

const newUuid = 'aaaaaaaa-0000-4000-8000-000000000009';

/** One of the first mostly, else one of the second: a case with everything wrong at once shows little. */
const mostly = <T>(good: T[], bad: T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 15, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: fc.constantFrom(...bad) },
  );

/** VMs and requests with something wrong here and there. */
const questions = fc
  .record({
    vm: fc.record({
      kind: fc.constantFrom('vsphere', 'kvm', 'ova'),
      name: fc.oneof(
        { weight: 15, arbitrary: fc.constantFrom('web', 'Web Server') },
        fc.array(fc.nat(0x3fff), { maxLength: 6 }).map((points) => String.fromCodePoint(...points)),
      ),
      state: fc.constantFrom('running', 'paused', 'shut-off', 'crashed'),
      uuid: fc.constantFrom('', foreignVm().uuid),
      arch: mostly(['x86_64', 'i686'], ['aarch64']),
      cpus: mostly([1, 4, 8], [0, 1.5]),
      memoryBytes: mostly([gibibyte], [0, Number.NaN]),
      firmware: fc.constantFrom('bios', 'uefi'),
      secureBoot: mostly([false], [true]),
      disks: fc.array(
        fc.record({
          key: fc.constantFrom('a', 'b', 'c', '__proto__'),
          boot: fc.boolean(),
          bus: fc.constantFrom('ide', 'scsi', 'sata', ''),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      nics: fc.array(
        fc.record({
          mac: mostly(['', '00:50:56:00:00:01', '00:50:56:00:00:02'], ['FF:FF:00:00:00:00']),
          network: fc.constantFrom('VM Network', 'other', 'constructor'),
        }),
        { maxLength: 3 },
      ),
    }),
    request: fc.record({
      running: fc.constantFrom('shutdown', 'force-off', 'pause', 'leave'),
      convert: fc.constantFrom('yes', 'no'),
      networks: fc.constantFrom({}, { 'VM Network': 'bridge:br0' }, { other: 'network:default' }),
      defaultNetwork: mostly(['network:default', 'bridge:br0'], ['none']),
      pool: mostly(['default', 'vg'], ['', 'ssd', 'off']),
      format: mostly(['raw'], ['qcow2']),
      newMacs: fc.boolean(),
      wanted: fc.option(mostly([['a'], []], [['b', 'x']]), { nil: undefined }),
      bus: fc.constantFrom('virtio-scsi', 'virtio-blk'),
    }),
  })
  .map(({ vm, request }): ImportQuestion => {
    const { pool: name, format, newMacs, wanted, bus, defaultNetwork, ...rest } = request;
    const disks = [...new Map(vm.disks.map((disk) => [disk.key, disk])).values()];
    return importQuestion({
      vm: foreignVm({
        ...(vm as Partial<ForeignVm>),
        disks: disks.map((disk) => foreignDisk(disk)),
        nics: vm.nics.map((nic, index) => foreignNic({ ...nic, key: `nic${index}` })),
      }),
      request: importRequest({
        ...(rest as Partial<ImportRequest>),
        ...(defaultNetwork === 'none' ? {} : { defaultNetwork: defaultNetwork as 'bridge:br0' }),
        storage: { pool: name, format: format as 'raw' },
        shape: {
          newMacs,
          bus: bus,
          ...(wanted === undefined ? {} : { disks: wanted }),
        },
      }),
      target: beta({
        machines: ['kvm/x86_64/q35', 'qemu/x86_64/pc', 'qemu/i686/q35'],
        pools: [
          pool(),
          pool({ name: 'vg', type: 'logical', path: '/dev/vg' }),
          pool({ name: 'off', active: false }),
        ],
      }),
    });
  });
const runs = { numRuns: 400 };

it('whatever is not planned has a critical rule of the same code, and what no rule forbids is planned', () => {
  let [plans, faults] = [0, 0];
  fc.assert(
    fc.property(questions, (question) => {
      const concerns = importConcerns(question);
      const critical = concerns.filter(({ level }) => level === 'critical').map(({ code }) => code);
      try {
        planImport({ ...question, newUuid });
        plans += 1;
      } catch (error) {
        if (!(error instanceof VmFerryError)) throw error;
        faults += 1;
        expect(critical).toContain(error.code);
        expect(blocks(concerns)).toBe(true);
      }
    }),
    runs,
  );
  // Neither way is left untried.
  expect(Math.min(plans, faults)).toBeGreaterThan(20);
});

it('a plan is one that a definition can be made of, disk by disk and card by card', () => {
  fc.assert(
    fc.property(questions, (question) => {
      const { vm } = question;
      let plan: ImportPlan;
      try {
        plan = planImport({ ...question, newUuid });
      } catch {
        return;
      }
      expect(planImport({ ...question, newUuid })).toEqual(plan);
      const macs = plan.nics.map(({ mac }) => mac);
      expect(new Set(macs).size).toBe(macs.length);
      expect(macs.every(isUsableMac)).toBe(true);
      expect(macs.length).toBe(Math.max(1, vm.nics.length));
      const disks = plan.disks.map(({ key, targetVolume, targetFormat }): TargetDisk => {
        expect(targetVolume).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]*-\d+\.(?:raw|qcow2)$/);
        return { key, kind: 'file', path: `/images/${targetVolume}`, format: targetFormat };
      });
      expect(new Set(disks.map(({ path }) => path)).size).toBe(disks.length);
      const { name, uuid, domainType, machine, converted, bus, memoryBytes, cpus } = plan;
      const shape = targetShape(vm, {
        ...{ name, uuid, domainType, machine, converted, bus, memoryBytes, cpus, disks },
        networks: new Map(),
        defaultNetwork: { kind: 'bridge', name: 'br0' },
      });
      // Names and order of the plan are those of the definition.
      expect(shape).toMatchObject({ bus, machine });
      const xml = targetXml(shape);
      const targets = [...xml.matchAll(/<disk [^>]*device="disk".*?<target dev="(\w+)"/gs)];
      expect(targets.map(([, dev]) => dev)).toEqual(plan.disks.map((disk) => disk.name));
      expect(shape.disks.map(({ key }) => key)).toEqual(plan.disks.map(({ key }) => key));
    }),
    runs,
  );
});
