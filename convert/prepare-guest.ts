/**
 * What a Linux guest needs beside drivers: its addresses and names, a path to boot by, and an initramfs that opens its
 * LUKS. One appliance for all.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isUtf8 } from 'node:buffer';
import { addressFolders } from './addresses/guest-files.ts';
import type { FileChange, GuestFiles } from './addresses/guest-files.ts';
import type { KeptInterface } from './addresses/interfaces.ts';
import { linuxAddressPlan, maxGuestFileBytes } from './addresses/linux.ts';
import type { AddressPlan } from './addresses/linux.ts';
import { efiFallbackCopies, espFolders } from './efi-fallback.ts';
import type { FileCopy } from './efi-fallback.ts';
import { permanent } from '../domain/errors.ts';
import { crypttabPlan } from './crypttab.ts';
import type { CrypttabPlan } from './crypttab.ts';
import { conversionFault } from './errors.ts';
import { quoted, withGuestfish } from './guestfish.ts';
import type { Ask, GuestfishOptions } from './guestfish.ts';

export interface PrepareOptions extends Omit<GuestfishOptions, 'onLog'> {
  vm: string;
  logPath: string;
  /** All its cards; none: its network stays as it is. */
  interfaces: readonly KeptInterface[];
  firmware: 'bios' | 'uefi';
  /** Keys were given: its root file system may be in a LUKS. */
  encrypted: boolean;
  onLog: (text: string) => void;
}

export interface PreparedGuest extends AddressPlan {
  /** Files of the fallback boot path that it did not have. */
  bootFiles: FileCopy[];
  /** What its initramfs opens; absent where that needs no word of ours. */
  crypttab?: CrypttabPlan;
}

const maxGuestFiles = 400;
/** The two places of systemd's udev, merged or not. */
const udevPaths = ['/lib/systemd/systemd-udevd', '/usr/lib/systemd/systemd-udevd'];

/**
 * Writes to the overlays. To be called before virt-v2v: that gives new files their SELinux labels and builds the
 * initramfs, which has its own copy of the rules for names. Throws what `conversionFault` names.
 */
export async function prepareGuest(options: PrepareOptions): Promise<PreparedGuest> {
  const exchange = join(options.cwd, 'exchange');
  await rm(exchange, { recursive: true, force: true });
  await mkdir(exchange, { mode: 0o700 });
  let log = '';
  let prepared: PreparedGuest | undefined;
  const onLog = (text: string): void => {
    log = (log + text).slice(-maxLogLength);
    options.onLog(text);
  };
  try {
    const end = await withGuestfish({ ...options, onLog }, async (ask) => {
      const { interfaces, firmware, encrypted } = options;
      const network = interfaces.length > 0 ? await keepAddresses(ask, exchange, options) : none;
      const bootFiles = firmware === 'uefi' ? await addBootPath(ask) : [];
      const crypttab = encrypted ? await openAtBoot(ask, exchange) : undefined;
      prepared = { ...network, bootFiles, ...(crypttab && { crypttab }) };
    });
    if (end.status !== 0 || prepared === undefined) {
      const { vm, logPath } = options;
      throw conversionFault({ vm, log: `${log}${end.complaint}`, logPath, status: end.status });
    }
    return prepared;
  } finally {
    await rm(exchange, { recursive: true, force: true });
  }
}

const maxLogLength = 64 * 1024;
const none: AddressPlan = { changes: [], systems: [], notes: [], refused: [] };

async function keepAddresses(
  ask: Ask,
  exchange: string,
  { interfaces, vm }: PrepareOptions,
): Promise<AddressPlan> {
  const files = await readFiles(ask, exchange);
  const udev = await ask(udevPaths.map((path) => `-is-file ${quoted(path)} followsymlinks:true`));
  const plan = linuxAddressPlan(files, interfaces, udev.includes('true'));
  if (plan.refused.length > 0) throw notSettable(vm, plan.refused);
  await writeChanges(ask, { exchange, changes: plan.changes, files });
  return plan;
}

const notSettable = (vm: string, refused: readonly string[]) =>
  permanent({
    code: 'addresses-not-settable',
    message: `${vm} cannot be given ${refused.join('; ')}`,
    remedy:
      'Leave out --addresses for that card and set them in the guest; what was copied is used again.',
  });

async function addBootPath(ask: Ask): Promise<FileCopy[]> {
  for (const folder of espFolders) {
    const found = await ask([`glob-expand ${quoted(`${folder}/[Ee][Ff][Ii]/*/*`)}`]);
    const copies = efiFallbackCopies(found.filter(isPlainBootPath).slice(0, maxGuestFiles));
    for (const { from, to } of copies) {
      const above = to.slice(0, to.lastIndexOf('/'));
      await ask([`mkdir-p ${quoted(above)}`, `cp ${quoted(from)} ${quoted(to)}`]);
    }
    if (copies.length > 0) return copies;
  }
  return [];
}

const initramfsTools = '/usr/sbin/update-initramfs';
const crypttabPath = '/etc/crypttab';

/** For Debian and what came of it; others name what they open on the kernel's command line, by UUID. */
async function openAtBoot(ask: Ask, exchange: string): Promise<CrypttabPlan | undefined> {
  const isThere = await ask([`-is-file ${quoted(initramfsTools)} followsymlinks:true`]);
  if (isThere[0] !== 'true') return undefined;
  const uuids = await luksBelow(ask, ['/', '/usr']);
  if (uuids.length === 0) return undefined;
  const local = join(exchange, 'crypttab');
  const before = (await readGuestFile(ask, crypttabPath, local)) ?? '';
  const plan = crypttabPlan(before, uuids);
  if (plan.content !== before) {
    const changes = [{ path: crypttabPath, content: plan.content, mode: 0o644 }];
    await writeChanges(ask, { exchange, changes, files: new Map([[crypttabPath, before]]) });
  }
  return plan;
}

/** As libguestfs names what it opened. */
const openedLuks = /\/dev\/mapper\/luks-([0-9a-f-]{36})\b/;

/** UUIDs of the LUKS devices that these file systems lie on, also through a volume group. */
async function luksBelow(ask: Ask, mountpoints: readonly string[]): Promise<string[]> {
  const mounted = (await ask(['mountpoints'])).map((line) => line.split(': '));
  const devices = mounted.filter(([, at = '']) => mountpoints.includes(at)).map(([on = '']) => on);
  const found: string[] = [];
  for (const device of devices) {
    const group = /^\/dev\/([A-Za-z0-9+_.-]+)\/[A-Za-z0-9+_.-]+$/.exec(device)?.[1];
    const below =
      openedLuks.test(device) || group === undefined ? [device] : await volumesOf(ask, group);
    found.push(...below.flatMap((one) => openedLuks.exec(one)?.[1] ?? []));
  }
  return [...new Set(found)];
}

/** The physical volumes of a group. */
async function volumesOf(ask: Ask, group: string): Promise<string[]> {
  const ids = await ask([`-vgpvuuids ${quoted(group)}`]);
  const volumes: string[] = [];
  for (const volume of (await ask(['-pvs'])).slice(0, maxGuestFiles)) {
    const [id = ''] = await ask([`-pvuuid ${quoted(volume)}`]);
    if (ids.includes(id)) volumes.push(volume);
  }
  return volumes;
}

const isPlainBootPath = (path: string): boolean => /^(?:\/[A-Za-z0-9_.+-]+)+$/.test(path);

/** Plain text files only; links, devices and large files are not ours to follow. */
async function readFiles(ask: Ask, exchange: string): Promise<Map<string, string>> {
  const listed = await ask(addressFolders.map((folder) => `glob-expand ${quoted(`${folder}/*`)}`));
  const paths = listed.filter(isPlainPath).slice(0, maxGuestFiles);
  const files = new Map<string, string>();
  for (const [index, path] of paths.entries()) {
    const content = await readGuestFile(ask, path, join(exchange, `in-${index}`));
    if (content !== undefined) files.set(path, content);
  }
  return files;
}

async function readGuestFile(ask: Ask, path: string, local: string): Promise<string | undefined> {
  const [isFile] = await ask([`-is-file ${quoted(path)}`]);
  if (isFile !== 'true') return undefined;
  const [size = ''] = await ask([`-filesize ${quoted(path)}`]);
  if (!/^\d+$/.test(size) || Number(size) > maxGuestFileBytes) return undefined;
  await ask([`download ${quoted(path)} ${quoted(local)}`]);
  const bytes = await readFile(local);
  // What is no text would come back changed.
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

const isPlainPath = (path: string): boolean => /^\/etc\/[\p{L}\p{N} ./_:@+=,()-]+$/u.test(path);

async function writeChanges(
  ask: Ask,
  options: { exchange: string; changes: readonly FileChange[]; files: GuestFiles },
): Promise<void> {
  const { exchange, changes, files } = options;
  for (const [index, { path, content, mode }] of changes.entries()) {
    const local = join(exchange, `out-${index}`);
    await writeFile(local, content, { mode: 0o600 });
    const folder = path.slice(0, path.lastIndexOf('/'));
    await ask([
      `mkdir-p ${quoted(folder)}`,
      `upload ${quoted(local)} ${quoted(path)}`,
      // An existing file keeps its owner and its mode.
      ...(files.has(path) ? [] : [`chmod 0${mode.toString(8)} ${quoted(path)}`]),
    ]);
  }
}
