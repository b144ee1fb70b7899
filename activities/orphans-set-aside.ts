/** UEFI variables and TPM state that lay where a move put those that it brought, and that it set aside (`state-files.ts`). */
import type { Dirent } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { permanent, unsafe } from '../domain/errors.ts';
import type { Orphan } from '../domain/orphans.ts';
import { isVmUuid } from '../guard/ledger-file.ts';
import { orphanId } from '../guard/quarantine.ts';
import { nvramFolder, tpmFolder } from '../platforms/libvirt/kept-state.ts';
import { openersOf } from './orphans-in-use.ts';
import type { HostParts } from './parts.ts';

/** Where libvirt keeps what is set aside. */
export interface StateFolders {
  nvram: string;
  tpm: string;
}

/** libvirt's own, as the system daemon has them. */
const libvirtFolders: StateFolders = { nvram: nvramFolder, tpm: tpmFolder };

/** The first name, and when it was taken away, ms of the epoch. */
const asideName = /^(.+)\.before-(\d{13})$/;
/** Files of one thing that was set aside; an emulator makes less than ten. */
const mostFiles = 200;

/** All that was set aside on this host, whichever move did it: nothing tells that. Does not look into the things. */
export async function setAsideOrphans(
  { name: host, ledger }: Pick<HostParts, 'name' | 'ledger'>,
  { nvram, tpm }: StateFolders = libvirtFolders,
): Promise<Orphan[]> {
  const found: Orphan[] = [];
  const { entries } = await ledger.list();
  for (const entry of await entriesOf(nvram)) {
    const [, first = '', atMs = ''] = asideName.exec(entry.name) ?? [];
    if (!entry.isFile() || first === '') continue;
    // libvirt's own name for the file of a VM; others do not tell whose it was.
    const name = /^(.+)_VARS\.fd$/.exec(first)?.[1] ?? '';
    const vm = { name, uuid: '' };
    found.push(orphanOf({ host, vm, what: join(nvram, entry.name), first, atMs }));
  }
  for (const entry of await entriesOf(tpm)) {
    const [, first = '', atMs = ''] = asideName.exec(entry.name) ?? [];
    if (!entry.isDirectory() || !isVmUuid(first)) continue;
    const name = entries.find(({ uuid }) => uuid === first)?.name ?? '';
    const vm = { name, uuid: first };
    found.push(orphanOf({ host, vm, what: join(tpm, entry.name), first, atMs }));
  }
  return found;
}

/** A user that may not look there has set nothing aside there either. */
async function entriesOf(folder: string): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES') return [];
    throw error;
  });
}

function orphanOf(
  aside: Pick<Orphan, 'host' | 'vm' | 'what'> & { first: string; atMs: string },
): Orphan {
  const { host, vm, what, first, atMs } = aside;
  const id = orphanId({ migrationId: '', kind: 'state', what });
  const kept = vm.uuid === '' ? 'UEFI variables' : 'the state of a TPM';
  return {
    ...{ id, host, kind: 'state', what, moveId: '', migrationId: '', vm },
    since: new Date(Number(atMs)).toISOString(),
    why: `${kept} that lay here as ${first} when a move brought those of ${vm.name === '' ? 'a VM' : vm.name}: of an earlier life of the VM here, or of an earlier attempt; nothing reads them under this name`,
    remedy: `Once the VM has started well without them: \`vmferry orphans remove ${id} --host ${host} --yes\`. To go back to them, give them their first name while the VM is off. To leave them: \`vmferry orphans keep ${id} --host ${host}\`.`,
  };
}

/** Bytes that it takes, all files below it counted; 0 if it is gone. */
export async function setAsideBytes({ what }: Orphan): Promise<number> {
  const sizes = await Promise.all(
    (await filesOf(what)).map(async (path) =>
      lstat(path).then(
        ({ blocks }) => blocks * 512,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, one) => sum + one, 0);
}

/** The thing itself, and all below it. */
async function filesOf(path: string): Promise<string[]> {
  const below = await readdir(path, { recursive: true }).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  });
  return [path, ...below.map((name) => join(path, name))];
}

/**
 * Removes it, if no VM names it, nothing has it open and no move of its VM is under way; `audit` is called when that is
 * sure. Throws `orphan-in-use`, `orphan-changed`, `move-runs`.
 */
export async function removeSetAside(
  parts: HostParts,
  { what: path, vm }: Orphan,
  audit: () => Promise<void>,
): Promise<void> {
  const { name: host, ledger } = parts;
  const entry = isVmUuid(vm.uuid) ? await ledger.read(vm.uuid) : undefined;
  if (entry?.state === 'incoming' || entry?.state === 'migrating-out') throw moveRuns(host, path);
  const facts = await lstat(path);
  if (!asideName.test(basename(path)) || !(facts.isFile() || facts.isDirectory()))
    throw changed(host, path);
  const files = await filesOf(path);
  if (files.length > mostFiles) throw changed(host, path);
  const users = await vmsNaming(parts, path);
  for (const file of files) users.push(...(await openersOf(file)));
  if (users.length > 0) throw inUse(host, path, users);
  await audit();
  await rm(path, { recursive: true });
}

/** VMs whose definition a person pointed there. */
async function vmsNaming({ hypervisor }: HostParts, path: string): Promise<string[]> {
  const found: string[] = [];
  for (const { uuid, name } of await hypervisor.list()) {
    const { keptState = [], hostFiles, fixedDevices } = await hypervisor.inspect(uuid);
    const named = [...keptState, ...hostFiles].some(
      (one) => one.path === path || one.path.startsWith(`${path}/`),
    );
    // A TPM whose state a definition puts elsewhere is told of in words only.
    if (named || fixedDevices.some((said) => said.includes(path))) found.push(`VM ${name}`);
  }
  return found;
}

const moveRuns = (host: string, path: string) =>
  unsafe({
    code: 'move-runs',
    message: `the guard of ${host} keeps the VM of ${path} for a move that is not over`,
    remedy: 'Nothing was removed. See `vmferry status`.',
    host,
  });

const changed = (host: string, path: string) =>
  permanent({
    code: 'orphan-changed',
    message: `${path} on ${host} is not what a move sets aside: a file, or a folder with a TPM's few files`,
    remedy: 'Look at it; vmferry does not remove it.',
    host,
  });

const inUse = (host: string, path: string, users: readonly string[]) =>
  unsafe({
    code: 'orphan-in-use',
    message: `${path} on ${host} is in use by ${users.join(', ')}`,
    remedy: 'Nothing was removed. If it is to go, let go of it there first.',
    host,
  });
