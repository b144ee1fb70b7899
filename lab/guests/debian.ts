/** A small Debian guest as it would stand on VMware, for tests of conversions: made once, kept in a folder. */
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { needsOperator } from '../../domain/errors.ts';

/** See `debian-disk.sh`. */
export type DebianKind = 'bios' | 'uefi' | 'luks';

export interface DebianGuestOptions {
  /** `bios` if absent. */
  kind?: DebianKind;
  /** Where archive and disks are kept; `~/.cache/vmferry/conversion-guests` if absent: each checkout has the same. */
  cacheDir?: string;
  onStep?: (line: string) => void;
}

/** Of one disk: 1 GiB, some 300 MiB used. Not to be written to. */
export interface DebianGuest {
  raw: string;
  /** As vSphere exports it: stream-optimized. */
  vmdk: string;
  sizeBytes: number;
}

/** What the guest has for a network, as `debian-disk.sh` sets it. */
export const debianNetwork = { interfaceName: 'ens192', address: '198.51.100.20' } as const;

const script = join(import.meta.dirname, 'debian-disk.sh');
const sizeBytes = 1024 ** 3;

/** Of the root file system of kind `luks`, typed at each start; its device in the guest is `/dev/sda2`. */
export const debianPassphrase = 'correct horse battery staple';

/** What a machine needs to start from a disk, and ifupdown for its network: nothing that a conversion would not touch. */
const packages = [
  ...['linux-image-cloud-amd64', 'grub2-common', 'initramfs-tools', 'qemu-guest-agent'],
  ...['systemd-sysv', 'udev', 'ifupdown', 'iproute2'],
];
const packagesOf: Record<DebianKind, string[]> = {
  bios: ['grub-pc-bin'],
  uefi: ['grub-efi-amd64-bin'],
  luks: ['grub-pc-bin', 'cryptsetup-initramfs'],
};
/** What nobody reads in it. */
const left = ['doc', 'man', 'info', 'locale', 'lintian', 'bug'];
const archiveArgs = (kind: DebianKind): string[] => [
  ...['--quiet', '--variant=minbase'],
  `--include=${[...packages, ...packagesOf[kind]].join(',')}`,
  ...left.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
  'bookworm',
];

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const shortHash = (text: string): string =>
  createHash('sha256').update(text).digest('hex').slice(0, 12);

/**
 * Makes the disks unless they are there: some two minutes from Debian's packages, half a one if the archive is kept.
 * Interface and address are `debianNetwork`'s. What no recipe asked for in a week is dropped. Needs root.
 * Throws `lab-guest-unavailable`.
 */
export async function ensureDebianGuest(options: DebianGuestOptions = {}): Promise<DebianGuest> {
  const folder = options.cacheDir ?? usersCache();
  const { kind = 'bios' } = options;
  const archiveHash = shortHash(archiveArgs(kind).join('\0'));
  const recipe = [archiveHash, kind, debianPassphrase, await readFile(script, 'utf8')];
  const diskHash = shortHash(recipe.join('\0'));
  const archive = join(folder, `root-${archiveHash}.tar`);
  const [raw, vmdk] = ['raw', 'vmdk'].map((form) => join(folder, `debian-${diskHash}.${form}`));
  if (raw === undefined || vmdk === undefined) throw new RangeError('two names make two paths');
  const guest = { raw, vmdk, sizeBytes };
  if (await exists(vmdk)) {
    await stillUsed([archive, raw, vmdk]);
    return guest;
  }
  // Two that make it at the same time each write their own; the last one counts, and both are whole.
  const draft = join(folder, `draft-${kind}-${process.pid}`);
  await mkdir(draft, { recursive: true });
  try {
    if (!(await exists(archive))) {
      options.onStep?.('the archive of a Debian guest, from packages');
      const made = join(draft, 'root.tar');
      // Its initramfs is made with its disk.
      const env = { INITRD: 'No' };
      await execa('mmdebstrap', [...archiveArgs(kind), made], { env, timeout: 1_800_000 });
      await rename(made, archive);
    }
    options.onStep?.('the disks of a Debian guest');
    const drafts = { raw: join(draft, 'disk.raw'), vmdk: join(draft, 'disk.vmdk') };
    const args = [kind, archive, drafts.raw, String(sizeBytes)];
    await execa(script, [...args, debianPassphrase], { timeout: 600_000 });
    const form = ['-f', 'raw', '-O', 'vmdk', '-o', 'subformat=streamOptimized'];
    await execa('qemu-img', ['convert', ...form, drafts.raw, drafts.vmdk], { timeout: 600_000 });
    await rename(drafts.raw, raw);
    await rename(drafts.vmdk, vmdk);
    await dropOthers(folder, [archive, raw, vmdk]);
    return guest;
  } catch (cause) {
    throw needsOperator({
      code: 'lab-guest-unavailable',
      message: `the Debian guest ${raw} could not be made: ${firstComplaint(cause)}`,
      remedy:
        'See that mmdebstrap, sfdisk, partx and mkfs.ext4 are here, that this is root, and that Debian’s packages can be had; then try again.',
      cause,
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** What a program said first; all of it is in the cause. */
function firstComplaint(cause: unknown): string {
  const isProgram = cause instanceof Error && 'stderr' in cause;
  const said = isProgram && typeof cause.stderr === 'string' ? cause.stderr.trim() : '';
  return said === '' ? String(cause) : said.split('\n').slice(0, 2).join(': ');
}

const usersCache = (): string =>
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vmferry', 'conversion-guests');

async function stillUsed(paths: readonly string[]): Promise<void> {
  const now = new Date();
  for (const path of paths) if (await exists(path)) await utimes(path, now, now);
}

const unusedForMs = 7 * 24 * 3_600_000;

/** What earlier recipes made: half a gigabyte each. Another checkout may use some of it now. */
async function dropOthers(folder: string, keep: readonly string[]): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!/^(?:root|debian)-/.test(name) || keep.includes(path)) continue;
    const isUnused = Date.now() - (await stat(path)).mtimeMs > unusedForMs;
    if (isUnused) await rm(path, { force: true });
  }
}
