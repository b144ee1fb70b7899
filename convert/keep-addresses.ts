/** Brings the plan of `addresses/` into a Linux guest: reads its files, writes what changes, in one appliance. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isUtf8 } from 'node:buffer';
import type { FileChange } from './addresses/guest-files.ts';
import type { KeptInterface } from './addresses/interfaces.ts';
import { addressFolders, linuxAddressPlan, maxGuestFileBytes } from './addresses/linux.ts';
import type { AddressPlan } from './addresses/linux.ts';
import { conversionFault } from './errors.ts';
import { quoted, withGuestfish } from './guestfish.ts';
import type { Ask, GuestfishOptions } from './guestfish.ts';

export interface KeepAddressesOptions extends Omit<GuestfishOptions, 'onLog'> {
  vm: string;
  logPath: string;
  interfaces: readonly KeptInterface[];
  onLog: (text: string) => void;
}

const maxGuestFiles = 400;
/** The two places of systemd's udev, merged or not. */
const udevPaths = ['/lib/systemd/systemd-udevd', '/usr/lib/systemd/systemd-udevd'];

/**
 * Writes to the overlays. To be called before virt-v2v: that gives new files their SELinux labels and builds the
 * initramfs, which has its own copy of the rules for names. Throws what `conversionFault` names.
 */
export async function keepAddresses(options: KeepAddressesOptions): Promise<AddressPlan> {
  const exchange = join(options.cwd, 'exchange');
  await rm(exchange, { recursive: true, force: true });
  await mkdir(exchange, { mode: 0o700 });
  let log = '';
  let plan: AddressPlan | undefined;
  const onLog = (text: string): void => {
    log = (log + text).slice(-maxLogLength);
    options.onLog(text);
  };
  try {
    const end = await withGuestfish({ ...options, onLog }, async (ask) => {
      const files = await readFiles(ask, exchange);
      const udev = await ask(
        udevPaths.map((path) => `-is-file ${quoted(path)} followsymlinks:true`),
      );
      const made = linuxAddressPlan(files, options.interfaces, udev.includes('true'));
      await writeChanges(ask, { exchange, changes: made.changes, files });
      plan = made;
    });
    if (end.status !== 0 || plan === undefined) {
      const { vm, logPath } = options;
      throw conversionFault({ vm, log: `${log}${end.complaint}`, logPath, status: end.status });
    }
    return plan;
  } finally {
    await rm(exchange, { recursive: true, force: true });
  }
}

const maxLogLength = 64 * 1024;

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
  options: { exchange: string; changes: readonly FileChange[]; files: ReadonlyMap<string, string> },
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
