/**
 * The path that UEFI starts from where it knows no boot entry: `EFI/BOOT/BOOTX64.EFI`. Entries lie in the firmware's
 * variables, which stay at the source; a guest without the fallback would land in the UEFI shell.
 */
import { posix } from 'node:path';

export interface FileCopy {
  from: string;
  to: string;
}

/** Where systems mount the EFI system partition. */
export const espFolders: readonly string[] = ['/boot/efi', '/efi', '/boot'];

/** The shim comes first: it is what Secure Boot trusts, and it starts the loader that lies beside it. */
const loaders = ['shimx64.efi', 'systemd-bootx64.efi', 'grubx64.efi'];
const besideShim = ['grubx64.efi', 'mmx64.efi'];

/**
 * What has to be copied, from the files two levels below `EFI` on the partition (`/boot/efi/EFI/debian/grubx64.efi`).
 * Nothing where the fallback is there, or no loader is known. The partition's names know no case.
 */
export function efiFallbackCopies(paths: readonly string[]): FileCopy[] {
  const parts = paths.map((path) => ({ path, lower: path.toLowerCase() }));
  if (parts.some(({ lower }) => lower.endsWith('/efi/boot/bootx64.efi'))) return [];
  for (const loader of loaders) {
    const found = parts.find(({ lower }) => lower.endsWith(`/${loader}`));
    if (found === undefined) continue;
    const boot = posix.join(posix.dirname(found.path), '..', 'BOOT');
    const beside = loader === loaders[0] ? besideShim : [];
    const others = beside.flatMap((name) => {
      const wanted = posix.join(posix.dirname(found.lower), name);
      const other = parts.find(({ lower }) => lower === wanted);
      return other === undefined ? [] : [{ from: other.path, to: posix.join(boot, name) }];
    });
    return [{ from: found.path, to: posix.join(boot, 'BOOTX64.EFI') }, ...others];
  }
  return [];
}
