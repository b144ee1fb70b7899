/** Rehearsals in whole imports: a tiny guest comes up apart from everything, also after its worker was killed in the middle. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { bootSector } from '../../../lab/guests/boot-sector.ts';
import { importEnded, labRequest, namesIn, openImportStage, untilImport } from './import-stage.ts';
import type { ImportStage } from './import-stage.ts';
import { MiB, putOnShelf } from './shelf.ts';

let dir: string;
let stage: ImportStage;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'import-rehearse-'));
  await putTinyGuest(join(dir, 'ova'));
  stage = await openImportStage({
    name: 'import-rehearse',
    providers: { shelf: { kind: 'ova', folder: join(dir, 'ova') } },
  });
}, 240_000);
afterAll(async () => {
  await stage.close();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

/** Says its word some seconds after its start: time enough to strike before. */
async function putTinyGuest(folder: string): Promise<void> {
  const raw = join(dir, 'tiny.raw');
  const guest = bootSector({ says: 'tiny guest is up', then: 'waits', afterMs: 5_000 });
  await writeFile(raw, Buffer.concat([guest, Buffer.alloc(2 * MiB - guest.length)]));
  await putOnShelf(folder, { name: 'tiny', raw, sizeBytes: 2 * MiB });
}

/** What a rehearsal could have left on alpha. */
async function rehearsalTraces(): Promise<string[]> {
  const root = (path: string): Promise<string[]> => namesIn(stage.lab.host('alpha').rootOf(path));
  const found = await Promise.all([
    stage.virsh('alpha', 'list', '--all', '--name').then((text) => text.split('\n')),
    stage.virsh('alpha', 'net-list', '--all', '--name').then((text) => text.split('\n')),
    root('/var/log/libvirt/qemu'),
    root('/var/lib/libvirt/qemu/nvram'),
  ]);
  return found.flat().filter((name) => name.includes('rehearsal'));
}

const showLogs = (): void => onTestFailed(async () => console.error(await stage.logs()));

describe('a machine of an OVA', () => {
  it('is rehearsed on its conversion host, also after kill -9 of the worker in the middle of it', async () => {
    showLogs();
    const check = { kind: 'console', pattern: '^tiny guest is up$' } as const;
    const request = labRequest({
      ...{ provider: 'shelf', vm: 'tiny.ova#tiny', rehearse: { check, only: false } },
      shape: { name: 'tiny' },
    });
    const handle = await stage.start(request, 'tiny');
    await untilImport(handle, async () =>
      (await stage.virsh('alpha', 'list', '--name')).startsWith('vmferry-rehearsal-'),
    );
    expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain('tiny');
    await stage.fleet.worker('alpha').kill9();
    const report = await importEnded(handle);
    expect(report).toMatchObject({
      ...{ phase: 'committed', firstError: { code: 'worker-lost' } },
      rehearsal: { outcome: 'proved', saw: 'its console says "tiny guest is up"', emulated: true },
    });
    expect(await rehearsalTraces()).toEqual([]);
    expect(await namesIn(stage.cacheDir)).toEqual([]);
    await stage.virsh('beta', 'undefine', 'tiny');
  });

  it('is rehearsed alone, and nothing of it comes to the target', async () => {
    showLogs();
    const rehearse = { check: { kind: 'auto' }, limitMs: 4_000, only: true } as const;
    const shape = { name: 'alone' };
    const asked = { provider: 'shelf', vm: 'tiny.ova#tiny', rehearse, shape, cacheSeconds: 0 };
    const report = await importEnded(await stage.start(labRequest(asked), 'tiny'));
    expect(report).toMatchObject({ phase: 'rehearsed', rehearsal: { outcome: 'unproved' } });
    expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain('alone');
    expect(await stage.virsh('beta', 'vol-list', 'default')).not.toContain('alone');
    expect(await rehearsalTraces()).toEqual([]);
    expect(await namesIn(stage.cacheDir)).toEqual([]);
  });
});
