import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { needsOperator } from '../domain/errors.ts';
import type { Acceleration } from './acceleration.ts';
import { programEnvironment } from './qemu-img.ts';

/** Folders that libguestfs works in; absolute. */
export interface GuestfsFolders {
  /** Private to one conversion, removed after it. */
  temporary: string;
  /** Shared by all conversions of a host: the appliance (some 400 MiB) is built there once. */
  cache: string;
}

export interface GuestfsOptions {
  acceleration: Acceleration;
  /** Folder or ISO of virtio-win, absolute. */
  virtioWin?: string;
  /** Of the appliance; libguestfs' own choice if absent. */
  memoryMiB?: number;
}

/** See there why. */
const oneVcpuQemu = fileURLToPath(new URL('one-vcpu-qemu.sh', import.meta.url));

/**
 * Of the appliance's kernel. Emulation translates code once for each address it runs at, thus anew for each process of
 * random ones: a process costs less than half without, a conversion two thirds. The appliance runs the guest's programs as
 * root anyway, so that nothing hides behind these addresses.
 */
const sameAddresses = 'norandmaps';

/** All that virt-v2v and guestfish get to see of the environment. */
export function guestfsEnvironment(
  { temporary, cache }: GuestfsFolders,
  { acceleration, virtioWin, memoryMiB }: GuestfsOptions,
): Record<string, string> {
  return {
    ...programEnvironment(),
    HOME: temporary,
    TMPDIR: temporary,
    VIRT_V2V_TMPDIR: temporary,
    LIBGUESTFS_CACHEDIR: cache,
    // Through libvirt it would need a libvirtd of its own, and its settings.
    LIBGUESTFS_BACKEND: 'direct',
    ...(acceleration === 'tcg' && {
      LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg',
      LIBGUESTFS_HV: oneVcpuQemu,
      LIBGUESTFS_APPEND: sameAddresses,
    }),
    ...(virtioWin !== undefined && { VIRTIO_WIN: virtioWin }),
    ...(memoryMiB !== undefined && { LIBGUESTFS_MEMSIZE: String(memoryMiB) }),
  };
}

/** Appliance, its overlay and what virt-v2v asks for itself: it refuses below 1 GiB. */
const neededTemporaryBytes = 2 * 1024 ** 3;

/** Makes the folders and sees that there is room. Throws `conversion-host-full`. */
export async function prepareGuestfsFolders(
  { temporary, cache }: GuestfsFolders,
  neededBytes = neededTemporaryBytes,
): Promise<void> {
  await mkdir(temporary, { recursive: true, mode: 0o700 });
  await mkdir(cache, { recursive: true, mode: 0o700 });
  for (const folder of [temporary, cache]) {
    const { bavail, bsize } = await statfs(folder);
    const free = bavail * bsize;
    if (free >= neededBytes) continue;
    throw needsOperator({
      code: 'conversion-host-full',
      message: `${folder} has ${mebibytes(free)} MiB free; a conversion needs ${mebibytes(neededBytes)} MiB there`,
      remedy:
        'Make room there or choose another folder, then `vmferry retry`: nothing is copied again.',
    });
  }
}

const mebibytes = (bytes: number): number => Math.floor(bytes / 1024 ** 2);

/** Where the parts of one conversion lie in its folder. */
export const conversionPaths = (folder: string) => ({
  temporary: join(folder, 'tmp'),
  keys: join(folder, 'keys'),
  journal: join(folder, 'journal.jsonl'),
  input: join(folder, 'input.xml'),
  log: join(folder, 'virt-v2v.log'),
});
