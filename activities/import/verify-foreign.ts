import { unsafe } from '../../domain/errors.ts';
import { atProvider } from './at-provider.ts';
import { cacheOf } from './cache-of.ts';
import type { VerifyForeignInput } from './contract.ts';
import { isVmOff } from './off.ts';
import type { ImportParts } from './parts.ts';

/**
 * Reads a stopped source back: it is off, and each disk is in the state that was copied. Throws `source-changed`;
 * what was copied is dropped then.
 */
export async function verifyForeign(
  parts: ImportParts,
  input: VerifyForeignInput,
  signal: AbortSignal,
): Promise<void> {
  const { provider, migrationId, vm, disks } = input;
  const cache = cacheOf(parts, input);
  const options = { label: migrationId, pause: false, reads: false, signal };
  await cache.alone('read the source back', signal, () =>
    atProvider(parts, provider, options, async (source) => {
      const record = await cache.read();
      const state = await source.state(vm.id);
      let change = isVmOff(state) ? undefined : `it is ${state}`;
      for (const key of disks) {
        // A disk of a VM that runs cannot be opened everywhere, and is another one by now anyway.
        if (change !== undefined) break;
        const known = record?.disks.find((one) => one.key === key && one.whole);
        const { source: disk, fingerprint } = await source.openDisk(vm, key, signal);
        await disk.close();
        if (known?.fingerprint !== fingerprint) change = `disk ${key} is in another state`;
      }
      if (change === undefined) {
        if (input.handsOver !== true || record?.source === undefined) return;
        record.source.handedOver = true;
        return cache.write(record);
      }
      if (record !== undefined) await cache.dropDisks(record);
      throw unsafe({
        code: 'source-changed',
        message: `${vm.name} is not what was copied any more: ${change}`,
        remedy:
          'The copy is not used, and nothing was started. See that the VM stays off, then import it again.',
        host: parts.host.name,
      });
    }),
  );
}
