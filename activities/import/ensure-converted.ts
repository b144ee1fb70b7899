/** The conversion of cached disks: on overlays, so that whatever comes of it the copies serve another attempt. */
import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { convertInPlace } from '../../convert/in-place.ts';
import type { ConversionRequest } from '../../convert/in-place.ts';
import type { GuestCard } from '../../convert/addresses/interfaces.ts';
import { isCardName } from '../../convert/addresses/known-names.ts';
import { needsOperator } from '../../domain/errors.ts';
import type { GuestInterface } from '../../domain/foreign.ts';
import type { ConversionReport } from '../../domain/import.ts';
import { realIo, replaceDurably } from '../../guard/durable.ts';
import type { Attempt } from '../boundary.ts';
import { cacheOf } from './cache-of.ts';
import { wholeImage } from './cache-record.ts';
import type { ImportCache } from './cache.ts';
import type { ConvertInput } from './contract.ts';
import { conversionTool } from './conversion-facts.ts';
import type { ImportParts } from './parts.ts';

/** Done once for one state of the copies and one set of wishes; an earlier import's result serves as well. */
export async function ensureConverted(
  parts: ImportParts,
  input: ConvertInput,
  attempt: Attempt,
): Promise<ConversionReport> {
  const { signal } = attempt;
  const { migrationId } = input;
  const { operations } = parts.host;
  const cache = cacheOf(parts, input);
  return operations.exclusive({ migrationId, name: 'convert', signal }, (inner) =>
    parts.turns.take(inner, () =>
      cache.alone('convert', inner, async () => {
        const request = await requestFor(parts, input, { cache, signal: inner });
        await keepFolderFor(cache, request);
        const done = await convertInPlace({
          ...request,
          onProgress: (conversion) => attempt.report({ conversion }),
        });
        await cache.writesNoMore(migrationId);
        const { notes, logPath, elapsedMs, already, virtio } = done;
        return {
          warnings: done.warnings.map(({ message }) => message),
          ...{ notes, logPath, elapsedMs, already },
          ...(virtio === undefined ? {} : { virtio }),
        };
      }),
    ),
  );
}

async function requestFor(
  { conversion }: ImportParts,
  input: ConvertInput,
  { cache, signal }: { cache: ImportCache; signal: AbortSignal },
): Promise<ConversionRequest> {
  const { vm, plan, root, luksKeys } = input;
  const record = await cache.read();
  const { virtioWin, cacheDir } = conversion;
  // The cache's own: a conversion that an earlier import left running is found by it and ended.
  const id = cache.label;
  return {
    id,
    vm: plan.name,
    disks: plan.disks.map(({ key }) => {
      const disk = wholeImage(record, key);
      if (disk === undefined) throw notCached(vm.name, key);
      return { key, path: cache.pathOf(disk), format: 'raw' as const };
    }),
    firmware: vm.firmware,
    folder: cache.conversionFolder,
    cache: join(cacheDir, 'guestfs'),
    tool: await conversionTool({ conversion }, `${id}-tool`, signal),
    keys: luksKeys.map(({ device, reference }) => ({
      device,
      passphrase: () => conversion.secret(reference),
    })),
    guestFamily: vm.guestFamily,
    guestNetwork: networkOfTarget(input),
    ...(root === undefined ? {} : { root }),
    ...(virtioWin === undefined ? {} : { virtioWin }),
    signal,
  };
}

/** All cards, with what the guest said of them, by the MACs that they have on the target. */
export function networkOfTarget({ vm, plan }: Pick<ConvertInput, 'vm' | 'plan'>): GuestCard[] {
  return vm.nics.map(({ key, mac: formerMac }) => {
    const { mac, set } = plan.nics.find((nic) => nic.key === key) ?? {};
    return {
      ...saidOf(vm.guestNetwork.filter((one) => one.mac.toLowerCase() === formerMac)),
      ...{ mac: mac ?? formerMac, formerMac },
      ...(mac === undefined && { stays: true }),
      ...(set === undefined ? {} : { set }),
    };
  });
}

/** A guest may tell of one card several times: of the bridge above it, too, which has its MAC. */
function saidOf(told: readonly GuestInterface[]): Omit<GuestInterface, 'mac'> {
  const names = told.map(({ name }) => name);
  return {
    name: names.find(isCardName) ?? names[0] ?? '',
    addresses: told.flatMap(({ addresses }) => addresses),
    gateways: told.flatMap(({ gateways }) => gateways),
    dns: told.flatMap(({ dns }) => dns),
    searchDomains: told.flatMap(({ searchDomains }) => searchDomains),
  };
}

const wishesFile = 'wishes.sha256';

/** Another set of wishes is another conversion: it begins with the copies as they came. */
async function keepFolderFor(cache: ImportCache, request: ConversionRequest): Promise<void> {
  const { disks, firmware, guestFamily, guestNetwork, root, virtioWin, tool, keys } = request;
  const devices = keys?.map(({ device }) => device);
  const wishes = { disks, firmware, guestFamily, guestNetwork, root, virtioWin, devices };
  const mark = createHash('sha256')
    .update(JSON.stringify({ ...wishes, tool: tool.version }))
    .digest('hex');
  const path = join(cache.conversionFolder, wishesFile);
  const before = await readFile(path, 'utf8').catch(() => '');
  if (before === mark) return;
  await cache.dropConversion();
  await mkdir(cache.conversionFolder, { recursive: true, mode: 0o700 });
  await replaceDurably({ path, temporary: `${path}.new` }, Buffer.from(mark), realIo);
}

const notCached = (vm: string, key: string) =>
  needsOperator({
    code: 'cache-incomplete',
    message: `the cache does not have all of disk ${key} of ${vm} any more`,
    remedy: 'Somebody removed it. Cancel, then import the VM again: it is copied anew.',
  });
