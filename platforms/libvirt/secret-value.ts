/** Values of libvirt's secrets, for QEMU's programs that open network disks as libvirt would. */
import type { SecretRef } from '../../domain/vm.ts';
import type { LibvirtHost } from './connect.ts';
import type { ReadSecret } from './served-image.ts';

/** libvirt's numbers of what a secret is used for (virSecretUsageType). */
const usageTypes: Readonly<Record<string, number>> = {
  volume: 1,
  ceph: 2,
  iscsi: 3,
  tls: 4,
  vtpm: 5,
};

/** Reads secrets of this host's libvirt by UUID or usage. Rejects if it has none such, or keeps it to itself. */
export const secretReader =
  (host: LibvirtHost): ReadSecret =>
  async ({ uuid, usageType = '', usage = '' }: SecretRef) =>
    host.use(async (connection) => {
      const { secret } =
        uuid === undefined
          ? await connection.call('SecretLookupByUsage', {
              usageType: usageTypes[usageType] ?? 0,
              usageId: usage,
            })
          : await connection.call('SecretLookupByUUID', { uuid });
      return (await connection.call('SecretGetValue', { secret })).value;
    });
