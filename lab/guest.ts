/**
 * The lab's guest: Debian's cloud kernel and an initrd of busybox and one script (guest/init.sh). Made once from two
 * Debian packages that are unpacked, never installed; offline from then on.
 */
import { createHash } from 'node:crypto';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { needsOperator } from '../domain/errors.ts';
import { cpioArchive, fileMode, folderMode, linkMode, programMode } from './guest/cpio.ts';
import type { CpioEntry } from './guest/cpio.ts';

export interface GuestOptions {
  /** Where what was taken from the packages is kept, in `guest-parts`; default `.tools` of the project. */
  toolsDir?: string;
  /** Where the guest is kept; default `.tools/guest` of the project. */
  cacheDir?: string;
  onStep?: (line: string) => void;
}

export interface Guest {
  /** Folder with `vmlinuz` and `initrd.img`, world-readable. */
  dir: string;
  kernel: string;
  initrd: string;
}

const project = join(import.meta.dirname, '..');
const initScript = join(import.meta.dirname, 'guest', 'init.sh');

/** In the order in which they have to be loaded; the initrd has no modprobe. */
const modules = [
  ...[
    'virtio_ring',
    'virtio',
    'virtio_pci_legacy_dev',
    'virtio_pci_modern_dev',
    'virtio_pci',
    'virtio_blk',
  ],
  ...['failover', 'net_failover', 'virtio_net', 'evdev', 'button'],
];

const exists = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined)) !== undefined;

/** Makes the guest unless it is there. Throws `lab-guest-unavailable` if Debian's packages cannot be had. */
export async function ensureGuest(options: GuestOptions = {}): Promise<Guest> {
  const toolsDir = options.toolsDir ?? join(project, '.tools');
  const cacheDir = options.cacheDir ?? join(project, '.tools', 'guest');
  const init = await readFile(initScript);
  const version = createHash('sha256')
    .update(init)
    .update(modules.join())
    .digest('hex')
    .slice(0, 12);
  const dir = join(cacheDir, version);
  const guest = { dir, kernel: join(dir, 'vmlinuz'), initrd: join(dir, 'initrd.img') };
  if (await exists(guest.initrd)) return guest;
  options.onStep?.('the guest: Debian cloud kernel and busybox');
  const parts = await ensureParts(toolsDir);
  await mkdir(cacheDir, { recursive: true });
  const draft = await mkdtemp(join(cacheDir, 'draft-'));
  await execa('chmod', ['755', draft]);
  await copyFile(join(parts, 'vmlinuz'), join(draft, 'vmlinuz'));
  await writeFile(join(draft, 'initrd.img'), await makeInitrd(parts, init));
  await putInPlace(draft, dir, guest.initrd);
  return guest;
}

/** Renames a finished folder to its name; another process that was quicker wins. */
async function putInPlace(draft: string, dir: string, proof: string): Promise<void> {
  try {
    await rename(draft, dir);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!(await exists(proof))) throw error;
  }
}

async function makeInitrd(parts: string, init: Uint8Array): Promise<Buffer> {
  const entries: CpioEntry[] = [
    ...['bin', 'dev', 'proc', 'sys', 'tmp', 'modules'].map((path) => ({ path, mode: folderMode })),
    { path: 'init', mode: programMode, content: init },
    { path: 'bin/busybox', mode: programMode, content: await readFile(join(parts, 'busybox')) },
    { path: 'bin/sh', mode: linkMode, content: Buffer.from('busybox') },
    {
      path: 'modules/order',
      mode: fileMode,
      content: Buffer.from(modules.map((name) => `${name}.ko`).join('\n')),
    },
  ];
  for (const name of modules) {
    const content = await readFile(join(parts, `${name}.ko`));
    entries.push({ path: `modules/${name}.ko`, mode: fileMode, content });
  }
  return gzipSync(cpioArchive(entries), { level: 6 });
}

/** The folder with vmlinuz, busybox and the modules, from Debian's packages. */
async function ensureParts(toolsDir: string): Promise<string> {
  const parts = join(toolsDir, 'guest-parts');
  if (await exists(join(parts, 'vmlinuz'))) return parts;
  await mkdir(toolsDir, { recursive: true });
  const draft = await mkdtemp(join(toolsDir, 'draft-'));
  try {
    await download(draft);
    const root = join(draft, 'root');
    await mkdir(root);
    for (const file of await readdir(draft)) {
      if (file.endsWith('.deb'))
        await execa('dpkg-deb', ['-x', join(draft, file), root], { timeout: 120_000 });
    }
    const picked = join(draft, 'parts');
    await mkdir(picked);
    await pick(root, picked);
    await putInPlace(picked, parts, join(parts, 'vmlinuz'));
  } catch (cause) {
    throw needsOperator({
      code: 'lab-guest-unavailable',
      message:
        "the lab's guest could not be made from Debian's packages linux-image-cloud-amd64 and busybox-static",
      remedy:
        'See that `apt-get download busybox-static` works here (Debian 12 or later, amd64), then try again.',
      cause,
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return parts;
}

async function download(folder: string): Promise<void> {
  const attempt = async (): Promise<void> => {
    // The meta package names the kernel of today as its dependency.
    const meta = await execa('apt-cache', ['depends', '--important', 'linux-image-cloud-amd64'], {
      timeout: 30_000,
    });
    const kernel = /linux-image-\S+-cloud-amd64/.exec(
      meta.stdout.replace(/^linux-image-cloud-amd64\n/, ''),
    )?.[0];
    if (kernel === undefined) throw new Error('apt knows no package linux-image-cloud-amd64');
    const args = ['-q', '-o', 'APT::Sandbox::User=root', 'download', kernel, 'busybox-static'];
    await execa('apt-get', args, { cwd: folder, timeout: 180_000 });
  };
  try {
    await attempt();
  } catch {
    // Package lists that are missing or out of date are the usual cause; the second failure is the one to report.
    await execa('apt-get', ['-q', 'update'], { timeout: 180_000 });
    await attempt();
  }
}

async function pick(root: string, to: string): Promise<void> {
  const files = await readdir(root, { recursive: true, withFileTypes: true });
  const wanted = new Map(modules.map((name) => [`${name}.ko`, `${name}.ko`]));
  wanted.set('busybox', 'busybox');
  for (const file of files) {
    if (!file.isFile()) continue;
    const name = file.name.startsWith('vmlinuz-') ? 'vmlinuz' : wanted.get(file.name);
    const isBusybox = file.name !== 'busybox' || basename(file.parentPath) === 'bin';
    if (name !== undefined && isBusybox)
      await copyFile(join(file.parentPath, file.name), join(to, name));
  }
  for (const name of ['vmlinuz', ...wanted.values()]) await stat(join(to, name));
}
