/** What a Linux guest needs beside drivers: its addresses and names, and a path to boot by. One appliance for all. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isUtf8 } from 'node:buffer';
import type { FileChange, GuestFiles } from './addresses/guest-files.ts';
import type { KeptInterface } from './addresses/interfaces.ts';
import { addressFolders, linuxAddressPlan, maxGuestFileBytes } from './addresses/linux.ts';
import type { AddressPlan } from './addresses/linux.ts';
import { nameOfOnlyCard } from './addresses/only-card.ts';
import { efiFallbackCopies, espFolders } from './efi-fallback.ts';
import type { FileCopy } from './efi-fallback.ts';
import { conversionFault } from './errors.ts';
import { quoted, withGuestfish } from './guestfish.ts';
import type { Ask, GuestfishOptions } from './guestfish.ts';

export interface PrepareOptions extends Omit<GuestfishOptions, 'onLog'> {
  vm: string;
  logPath: string;
  /** None: its network stays as it is, but for `onlyMac`. */
  interfaces: readonly KeptInterface[];
  /** Of its one card, of which the source told nothing: keeps the one name that the guest's files have for it. */
  onlyMac?: string;
  firmware: 'bios' | 'uefi';
  onLog: (text: string) => void;
}

export interface PreparedGuest extends AddressPlan {
  /** Files of the fallback boot path that it did not have. */
  bootFiles: FileCopy[];
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
      const { interfaces, firmware, onlyMac } = options;
      const isKept = interfaces.length > 0 || onlyMac !== undefined;
      const network = isKept ? await keepAddresses(ask, exchange, options) : none;
      const bootFiles = firmware === 'uefi' ? await addBootPath(ask) : [];
      prepared = { ...network, bootFiles };
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
const none: AddressPlan = { changes: [], systems: [] };

async function keepAddresses(
  ask: Ask,
  exchange: string,
  { interfaces: told, onlyMac }: PrepareOptions,
): Promise<AddressPlan> {
  const files = await readFiles(ask, exchange);
  const interfaces = told.length > 0 ? told : onlyCard(files, onlyMac);
  const udev = await ask(udevPaths.map((path) => `-is-file ${quoted(path)} followsymlinks:true`));
  const plan = linuxAddressPlan(files, interfaces, udev.includes('true'));
  await writeChanges(ask, { exchange, changes: plan.changes, files });
  return plan;
}

/** Its addresses stand in the files already. */
function onlyCard(files: GuestFiles, mac: string | undefined): KeptInterface[] {
  const name = nameOfOnlyCard(files);
  if (mac === undefined || name === undefined) return [];
  return [{ mac, name, addresses: [], gateways: [], dns: [], searchDomains: [] }];
}

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

const isPlainBootPath = (path: string): boolean => /^(?:\/[A-Za-z0-9_.+-]+)+$/.test(path);

/** Plain text files only; links, devices and large files are not ours to follow. */
async function readFiles(ask: Ask, exchange: string): Promise<Map<string, string>> {
  const listed = await ask(addressFolders.map((folder) => `glob-expand ${quoted(`${folder}/*`)}`));
  const paths = listed.filter(isPlainPath).slice(0, maxGuestFiles);
  const files = new Map<string, string>();
  for (const [index, path] of paths.entries()) {
    const [isFile] = await ask([`-is-file ${quoted(path)}`]);
    if (isFile !== 'true') continue;
    const [size = ''] = await ask([`-filesize ${quoted(path)}`]);
    if (!/^\d+$/.test(size) || Number(size) > maxGuestFileBytes) continue;
    const local = join(exchange, `in-${index}`);
    await ask([`download ${quoted(path)} ${quoted(local)}`]);
    const bytes = await readFile(local);
    // What is no text would come back changed.
    if (isUtf8(bytes)) files.set(path, bytes.toString('utf8'));
  }
  return files;
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
