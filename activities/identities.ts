import { placeOf } from '../domain/disk-plan.ts';
import type { DiskPlan } from '../domain/disk-plan.ts';
import type { DiskIdentity } from '../domain/ownership.ts';
import { diskIdentity } from '../guard/identity.ts';

/** What the guard of a host has to know the VM's own disks by; a disk that others may have too is left out. */
export const identitiesOf = (
  disks: readonly DiskPlan[],
  side: 'source' | 'target',
): Promise<DiskIdentity[]> =>
  Promise.all(
    disks
      .filter(({ exclusive }) => exclusive)
      .map(async (disk) => {
        const { path, kind } = placeOf(disk, side);
        return { path, identity: kind === 'network' ? '' : await diskIdentity(path) };
      }),
  );
