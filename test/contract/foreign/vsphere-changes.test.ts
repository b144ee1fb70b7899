/** Snapshots and changed areas of vSphere, against a simulated vCenter. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vcenterShortcoming } from '../../../lab/vcenter/program.ts';
import {
  changedAreas,
  changeIdsOf,
  createSnapshot,
  removeSnapshot,
  setChangeTracking,
} from '../../../platforms/vsphere/change-tracking.ts';
import type { ChangedAreas } from '../../../platforms/vsphere/change-tracking.ts';
import type { VsphereSource } from '../../../platforms/vsphere/source.ts';
import { machine, MIB, openSource, startVcenter } from './vsphere-fixture.ts';
import type { Vcenter } from './vsphere-fixture.ts';

const shortcoming = await vcenterShortcoming();
if (shortcoming !== undefined) console.warn(`SKIPPED, vSphere is not tested: ${shortcoming}`);

describe.skipIf(shortcoming !== undefined)(
  'change tracking of vSphere',
  { timeout: 60_000 },
  () => {
    let vcenter: Vcenter;
    let source: VsphereSource;
    let id: string;

    beforeAll(async () => {
      vcenter = await startVcenter({ vms: [machine('web', { running: true })] });
      source = await openSource(vcenter);
      ({ id } = await source.inspect('web'));
    }, 1_300_000);
    afterAll(async () => {
      await source.close();
      await vcenter.close();
    });

    it('is told to be off until it is turned on', async () => {
      const codes = async () =>
        (await source.concerns(await source.inspect('web'))).map(({ code }) => code);
      expect(await codes()).toContain('vsphere-change-tracking-off');
      await setChangeTracking(source.session, id, true);
      expect(await codes()).not.toContain('vsphere-change-tracking-off');
    });

    it('tells what was written since a change ID, and all that was by a star', async () => {
      const { session } = source;
      const taken = { name: 'vmferry 1', description: 'a test', quiesce: false };
      const snapshot = await createSnapshot(session, id, taken);
      expect((await source.inspect('web')).snapshots).toEqual(['vmferry 1']);
      const since = (await changeIdsOf(session, snapshot)).get('2000') ?? '';
      expect(since).toMatch(/\/\d+$/);
      const asked: ChangedAreas = { vm: id, diskKey: '2000', snapshot, since, capacityBytes: MIB };
      const areas = async (change: Partial<ChangedAreas> = {}) => {
        const all: { offset: number; length: number }[] = [];
        for await (const one of changedAreas(session, { ...asked, ...change })) all.push(one);
        return all;
      };
      expect(await areas()).toEqual([]);
      for (const offset of [65_536, 131_072]) {
        await vcenter.command({ op: 'write', vm: 'web', key: 2000, offset, bytes: 'AAAA' });
      }
      const written = [
        { offset: 65_536, length: 3 },
        { offset: 131_072, length: 3 },
      ];
      expect(await areas()).toEqual(written);
      expect(await areas({ since: '*' })).toEqual(written);
      const unknown = areas({ since: '52 de c0/99' });
      await expect(unknown).rejects.toMatchObject({ code: 'vsphere-change-id-lost' });
      await removeSnapshot(session, snapshot);
      await removeSnapshot(session, snapshot);
      expect((await source.inspect('web')).snapshots).toEqual([]);
      expect((await vcenter.stats()).snapshots).toBe(0);
    });
  },
);
