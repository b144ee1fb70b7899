import { access, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listOrphans, settleOrphan } from '../../../activities/orphans.ts';
import { putFolderInPlace, setAside } from '../../../platforms/libvirt/state-files.ts';
import { fakeHost, type FakeHost } from '../reconcile/fake-host.ts';

const uuid = '0f3c9a2e-4b6d-4a57-9a3e-5d1c2b7e8f90';
let host: FakeHost;
beforeEach(async () => {
  host = await fakeHost();
  await mkdir(host.stateFolders.nvram);
  await mkdir(host.stateFolders.tpm);
});
afterEach(() => host[Symbol.asyncDispose]());

const list = () => listOrphans(host.parts, host.care);
const settle = (id: string, order: 'remove' | 'keep' = 'remove') =>
  settleOrphan(
    host.parts,
    host.care,
    { id, order, operator: 'ada@desk' },
    new AbortController().signal,
  );
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** TPM state of an earlier life, that a move set aside as the platform does. */
async function tpmAside() {
  const place = join(host.stateFolders.tpm, uuid);
  await mkdir(join(place, 'tpm2'), { recursive: true });
  await writeFile(join(place, 'tpm2/tpm2-00.permall'), Buffer.alloc(6000, 1));
  const finished = `${place}.vmferry-new`;
  await mkdir(join(finished, 'tpm2'), { recursive: true });
  await putFolderInPlace(finished, place);
  const [orphan] = await list();
  return { place, orphan: orphan!, path: orphan!.what };
}

it('shows the state of a TPM that a move set aside, and removes it by word only', async () => {
  const before = Date.now();
  const entry = { epoch: 3, migrationId: 'over', name: 'web', note: '' };
  await host.ledger.transition(uuid, { ...entry, to: 'owner', disks: [] });
  const { place, orphan, path } = await tpmAside();
  expect(path).toMatch(new RegExp(`^${place}\\.before-\\d{13}$`));
  expect(orphan).toMatchObject({
    host: 'beta',
    kind: 'state',
    vm: { name: 'web', uuid },
    usedBy: [],
    removable: true,
    why: expect.stringMatching(/state of a TPM .* brought those of web/) as unknown,
    remedy: expect.stringContaining(`vmferry orphans remove ${orphan.id} --host beta`) as unknown,
  });
  expect(orphan.sizeBytes).toBeGreaterThanOrEqual(6000);
  expect(Date.parse(orphan.since)).toBeGreaterThanOrEqual(before);
  // A round of the cleaner lets it be.
  await host.reconciler.round();
  expect(await list()).toEqual([orphan]);
  expect(await settle(orphan.id)).toEqual({ id: orphan.id, what: path, done: 'removed' });
  expect(await exists(path)).toBe(false);
  expect(await exists(place)).toBe(true);
  expect(await list()).toEqual([]);
  const audit = JSON.parse(await readFile(join(host.stateDir, 'audit.log'), 'utf8')) as object;
  expect(audit).toMatchObject({
    what: 'remove orphan',
    operator: 'ada@desk',
    orphan: { id: orphan.id },
  });
});

it('shows UEFI variables that were set aside', async () => {
  const file = join(host.stateFolders.nvram, 'web_VARS.fd');
  await writeFile(file, 'variables');
  await setAside(file);
  const [orphan] = await list();
  expect(orphan).toMatchObject({ kind: 'state', vm: { name: 'web', uuid: '' } });
  expect(orphan!.why).toContain('UEFI variables');
  await settle(orphan!.id);
  expect(await exists(orphan!.what)).toBe(false);
});

it('shows nothing that only looks alike', async () => {
  const { nvram, tpm } = host.stateFolders;
  await mkdir(join(tpm, uuid));
  await mkdir(join(tpm, `other.before-${Date.now()}`));
  await mkdir(join(tpm, `${uuid}.before-yesterday`));
  await symlink(join(tpm, uuid), join(tpm, `${uuid}.before-${Date.now()}`));
  await writeFile(join(nvram, 'web_VARS.fd'), '');
  await mkdir(join(nvram, `folder.before-${Date.now()}`));
  expect(await list()).toEqual([]);
});

it('is kept out of the list for good by word', async () => {
  const { orphan, path } = await tpmAside();
  expect(await settle(orphan.id, 'keep')).toMatchObject({ done: 'kept' });
  expect(await list()).toEqual([]);
  expect(await exists(path)).toBe(true);
});

it('stays while a move of its VM is under way', async () => {
  const { orphan, path } = await tpmAside();
  const entry = { epoch: 3, migrationId: 'runs', name: 'web', note: '' };
  await host.ledger.transition(uuid, { ...entry, to: 'incoming', disks: [] });
  await expect(settle(orphan.id)).rejects.toMatchObject({ code: 'move-runs' });
  expect(await exists(path)).toBe(true);
});

it('stays while a VM names it', async () => {
  const { orphan, path } = await tpmAside();
  const other = '11111111-2222-4333-8444-555555555555';
  host.vms.push({ name: 'squatter', uuid: other, disks: [], files: [`${path}/tpm2`] });
  await expect(settle(orphan.id)).rejects.toThrow('VM squatter');
  expect(await exists(path)).toBe(true);
});

it('stays while a process has a file of it open', async () => {
  const { orphan, path } = await tpmAside();
  const file = join(path, 'tpm2/tpm2-00.permall');
  const child = spawn('tail', ['-f', file], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    // It has written what it read, so the file is open.
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await expect(settle(orphan.id)).rejects.toThrow(`tail (${String(child.pid)})`);
    expect(await exists(file)).toBe(true);
  } finally {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
  }
});

it('is listed though the ledger has a damaged entry, and then not removed', async () => {
  const { orphan, path } = await tpmAside();
  await mkdir(host.ledger.folder, { recursive: true });
  await writeFile(join(host.ledger.folder, uuid), 'damaged');
  expect(await list()).toMatchObject([{ id: orphan.id }]);
  await expect(settle(orphan.id)).rejects.toMatchObject({
    code: expect.stringContaining('ledger') as unknown,
  });
  expect(await exists(path)).toBe(true);
});
