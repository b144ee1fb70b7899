/** Whatever a foreign system says of a VM, the rules answer, and at a length that a history bears. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { batchConcerns, importConcerns } from '../../../domain/checks/foreign/concerns.ts';
import type { ForeignVm } from '../../../domain/foreign.ts';
import { VmFerryError } from '../../../domain/errors.ts';
import { planImport } from '../../../domain/import/plan.ts';
import { beta } from './facts.ts';
import {
  conversionHost,
  foreignDisk,
  foreignNic,
  foreignVm,
  importQuestion,
  importRequest,
} from './foreign-facts.ts';

const word = fc.oneof(
  fc.constantFrom('', '__proto__', 'a/../b', '\u001b[2J', "'; rm -rf /", '<x/>', 'x'.repeat(256)),
  fc.array(fc.nat(0x10ffff), { maxLength: 8 }).map((points) => String.fromCodePoint(...points)),
);
const number = fc.constantFrom(-1, 0, 0.5, 1, 1e9, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY);
const some = <T>(one: fc.Arbitrary<T>, maxLength = 40) => fc.array(one, { maxLength });
const disk = fc.record({
  ...{ key: word, path: word, bus: word, capacityBytes: number, allocationBytes: number },
  ...{ independent: fc.boolean(), shared: fc.boolean(), raw: fc.boolean(), boot: fc.boolean() },
});
const guest = fc.record({
  kind: fc.constantFrom('vsphere', 'kvm', 'ova'),
  state: fc.constantFrom('running', 'paused', 'shut-off', 'crashed', 'shutting-down', 'other'),
  ...{ name: word, uuid: word, arch: word, guestOs: word, path: word },
  ...{ cpus: number, memoryBytes: number, coresPerSocket: number },
  guestFamily: fc.constantFrom('linux', 'windows', 'other'),
  firmware: fc.constantFrom('bios', 'uefi'),
  ...{ secureBoot: fc.boolean(), tpm: fc.boolean() },
  ...{ cdroms: some(word), snapshots: some(word, 200), fixedDevices: some(word) },
  disks: some(disk),
  nics: some(fc.record({ key: word, mac: word, network: word, connected: fc.boolean() })),
});

const machine = ({ disks, nics, ...rest }: Record<string, unknown>): ForeignVm => ({
  ...foreignVm(rest),
  disks: (disks as object[]).map((one) => foreignDisk(one)),
  nics: (nics as object[]).map((one) => foreignNic(one)),
});
const longest = 2000;

it('a VM of hostile words and figures is judged, not believed', () => {
  const wishes = fc.record({
    running: fc.constantFrom('shutdown', 'force-off', 'pause', 'leave'),
    convert: fc.constantFrom('yes', 'no'),
    wanted: some(word),
    network: word,
  });
  fc.assert(
    fc.property(guest, wishes, (said, { running, convert, wanted, network }) => {
      const vm = machine(said);
      const request = importRequest({
        running: running as 'leave',
        convert: convert as 'no',
        networks: { [network]: 'bridge:br0' },
        defaultNetwork: 'network:default',
        shape: { disks: wanted },
      });
      const question = importQuestion({ vm, request });
      const view = {
        entries: [
          { vm, request },
          { vm: { ...vm, id: 'b' }, request },
        ],
        ...{ targets: [beta()], conversionHosts: [conversionHost()] },
      };
      for (const { message, remedy } of [...importConcerns(question), ...batchConcerns(view)]) {
        expect(message.length).toBeLessThan(longest);
        expect(remedy).not.toBe('');
      }
      try {
        const plan = planImport({ ...question, newUuid: 'new' });
        expect(plan.disks.every(({ targetPath }) => targetPath.split('/').length === 3)).toBe(true);
      } catch (error) {
        if (!(error instanceof VmFerryError)) throw error;
        expect(error.message.length).toBeLessThan(longest);
      }
    }),
    { numRuns: 150 },
  );
});
