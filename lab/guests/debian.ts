/** A small Debian guest as it would stand on VMware, for tests of conversions: made once, kept in a folder. */
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { needsOperator } from '../../domain/errors.ts';

export interface DebianGuestOptions {
  /** Where archive and disk are kept; `.tools/conversion-guests` of the project if absent. */
  cacheDir?: string;
  onStep?: (line: string) => void;
}

const project = join(import.meta.dirname, '..', '..');
const script = join(import.meta.dirname, 'debian-disk.sh');

/** What a machine needs to start from a disk, and ifupdown for its network: nothing that a conversion would not touch. */
const packages = [
  ...['linux-image-cloud-amd64', 'grub-pc-bin', 'grub-efi-amd64-bin', 'grub2-common'],
  ...['systemd-sysv', 'udev', 'ifupdown', 'isc-dhcp-client', 'iproute2', 'initramfs-tools', 'dbus'],
];

/** Where the guest's disk is, or would be. */
const debianGuestPath = (cacheDir?: string): string =>
  join(cacheDir ?? join(project, '.tools', 'conversion-guests'), 'debian-bios.raw');

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/**
 * Makes the disk unless it is there: two to three minutes from Debian's packages, or seconds if the archive is kept.
 * BIOS, raw, 1.25 GiB of which 450 MiB are used; interface ens192 with 198.51.100.20/24. Needs root.
 * Throws `lab-guest-unavailable`.
 */
export async function ensureDebianGuest(options: DebianGuestOptions = {}): Promise<string> {
  const disk = debianGuestPath(options.cacheDir);
  if (await exists(disk)) return disk;
  const folder = join(disk, '..');
  const archive = join(folder, 'debian-root.tar');
  await mkdir(folder, { recursive: true });
  try {
    if (!(await exists(archive))) {
      options.onStep?.('the archive of a Debian guest, from packages');
      const draft = `${archive}.draft.tar`;
      const include = `--include=${packages.join(',')}`;
      const args = ['--quiet', '--variant=minbase', include, 'bookworm', draft];
      await execa('mmdebstrap', args, { timeout: 1_800_000 });
      await rename(draft, archive);
    }
    options.onStep?.('the disk of a Debian guest');
    await execa(script, [archive, `${disk}.draft`], { timeout: 600_000 });
    await rename(`${disk}.draft`, disk);
    return disk;
  } catch (cause) {
    await rm(`${disk}.draft`, { force: true });
    throw needsOperator({
      code: 'lab-guest-unavailable',
      message: `the Debian guest ${disk} could not be made`,
      remedy:
        'See that mmdebstrap, sfdisk, partx and mkfs.ext4 are here, that this is root, and that Debian’s packages can be had; then try again.',
      cause,
    });
  }
}
