import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clearImport } from '../../../activities/import/clear-import.ts';
import { defineImport } from '../../../activities/import/define-import.ts';
import { takeOwnership } from '../../../activities/ownership.ts';
import { reserveTarget } from '../../../activities/reserve-target.ts';
import { revokeTarget } from '../../../activities/ownership.ts';
import type { HostParts, MadeVolume } from '../../../activities/parts.ts';
import type { DiskPlan } from '../../../domain/disk-plan.ts';
import { DomainDocument } from '../../../platforms/libvirt/domain-xml.ts';
import { hostParts } from '../activities/host-parts.ts';
import { foreignVm, planFor } from './fake-import.ts';

const uuid = foreignVm.uuid;
const ref = { moveId: 'import/default/vc/vm-42', migrationId: 'm1', vm: { name: 'web', uuid } };
const plan = planFor(uuid, false);
const never = new AbortController().signal;

let dir: string;
let parts: HostParts;
let defined: string | undefined;
/** Where the pools of the target put a volume. */
let placed: (name: string) => MadeVolume;
const deleted: string[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'define-import-'));
  defined = undefined;
  deleted.length = 0;
  placed = (name) => ({ kind: 'file', path: join(dir, name) });
  parts = hostParts({
    ...{ name: 'beta', stateDir: join(dir, 'state') },
    hypervisor: {
      volumeExists: () => Promise.resolve(false),
      ensureVolume: ({ name }) => Promise.resolve(placed(name)),
      deleteVolume: ({ path }) => {
        deleted.push(path);
        return Promise.resolve(true);
      },
      state: () => Promise.resolve(defined === undefined ? undefined : 'shut-off'),
      undefine: () => {
        defined = undefined;
        return Promise.resolve();
      },
      mend: (xml, { disks, owner }) => {
        const document = DomainDocument.parse(xml);
        const note = { owner: owner.host, epoch: owner.epoch, move: owner.moveId };
        document.mendForTarget({ disks, note });
        return document.toString();
      },
      ensureDefined: (xml) => {
        defined = xml;
        return Promise.resolve('');
      },
    },
  });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const wanted: DiskPlan[] = plan.disks.map(({ key: _key, ...disk }) => ({
  ...disk,
  ...{ sourcePath: '/cache', sourceFormat: 'raw', sourceKind: 'file', how: 'copy' },
  ...{ allocation: 'thin', exclusive: true },
}));
const reserve = () =>
  reserveTarget(parts, { ...ref, epoch: 1, source: 'alpha', disks: wanted }, never);
const define = async () => {
  const disks = await reserve();
  return defineImport(parts, { ...ref, epoch: 1, foreign: foreignVm, plan, disks }, never);
};

describe('an imported VM on its target', () => {
  it('is defined with its disks in their order, its MAC on the chosen network, and its owner', async () => {
    await define();
    const facts = defined ?? '';
    expect(facts).toMatch(/web-0\.qcow2[^]*<target dev="sda"[^]*web-1\.qcow2[^]*<target dev="sdb"/);
    expect(facts).toContain('<mac address="00:50:56:00:00:01"/>');
    expect(facts).toContain('<source bridge="br0"/>');
    expect(facts).toMatch(/beta/);
  });

  it('has its disks on network storage where the pool lies there', async () => {
    placed = (name) => ({
      ...{ kind: 'network', path: `rbd:pool/${name}` },
      network: {
        protocol: 'rbd',
        name: `pool/${name}`,
        hosts: [{ name: '198.51.100.9', port: 6789 }],
        auth: { username: 'vm', secret: { uuid: '00000000-0000-4000-8000-000000000001' } },
      },
    });
    await define();
    const facts = defined ?? '';
    expect(facts).toContain('name="pool/web-0.qcow2"');
    expect(facts).toMatch(/type="network"[^]*protocol="rbd"[^]*198\.51\.100\.9/);
    expect(facts).not.toContain('/nowhere');
  });

  it('is defined for nobody but the import that holds its place', async () => {
    const disks = await reserve();
    const other = { ...ref, migrationId: 'm2', epoch: 1, foreign: foreignVm, plan, disks };
    await expect(defineImport(parts, other, never)).rejects.toMatchObject({ code: 'stale-epoch' });
    expect(defined).toBeUndefined();
  });

  it('is cleared with all that was made of it, and forgotten by the guard', async () => {
    await define();
    for (let twice = 0; twice < 2; twice += 1)
      await clearImport(parts, { ...ref, epoch: 1 }, never);
    expect(defined).toBeUndefined();
    expect(await parts.ledger.read(uuid)).toBeUndefined();
  });

  it('is forgotten likewise after it was revoked, so that a person may define it by hand', async () => {
    await define();
    await takeOwnership(parts, { ...ref, epoch: 2, source: 'alpha', disks: wanted }, never);
    const undo = { ...ref, epoch: 3 };
    await revokeTarget(parts, { ...undo, source: 'alpha', discardWrites: true }, never);
    await clearImport(parts, undo, never);
    expect(await parts.ledger.read(uuid)).toBeUndefined();
  });
});
