/** What a rehearsal stands on: throw-away images over those of the cache, and their end. */
import { access, chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { imageInfo, qemuImg } from '../../convert/qemu-img.ts';
import { overlayPath } from '../../convert/overlay.ts';
import { unsafe } from '../../domain/errors.ts';
import type { DiskPlan } from '../../domain/disk-plan.ts';
import { diskIdentity } from '../../guard/identity.ts';
import { rehearsalName } from '../../platforms/libvirt/rehearsal-xml.ts';
import { cachedImage } from './cached-disk.ts';
import type { ImportCache } from './cache.ts';
import type { RehearseInput } from './contract.ts';
import type { ImportParts } from './parts.ts';
import { endChecks } from './rehearse-checks.ts';
import { letThrough, takeBack } from './rehearse-reach.ts';

const makeMs = 120_000;

const folderOf = (cache: ImportCache): string => join(cache.folder, 'rehearsal');
/** Marks programs of its check, apart from those of a conversion. */
export const checkLabel = (cache: ImportCache): string => `${cache.label}.rehearsal`;

/** Images that may be written to and lost, in the plan's order. */
export async function makeImages(
  parts: ImportParts,
  input: RehearseInput,
  { cache, signal }: { cache: ImportCache; signal: AbortSignal },
): Promise<DiskPlan[]> {
  const { plan } = input;
  const folder = folderOf(cache);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const call = { id: cache.label, limitMs: makeMs, signal };
  const made: DiskPlan[] = [];
  for (const [place, planned] of plan.disks.entries()) {
    const { key, ...disk } = planned;
    const overlay = plan.converted ? { overlay: place } : {};
    const { disk: below } = await cachedImage(parts, { ...input, ...planned, ...overlay });
    await assertOurs(parts, below, { cache, signal });
    const path = overlayPath(folder, place);
    await rm(path, { force: true });
    const backing = ['-b', below.path, '-F', below.format];
    await qemuImg(['create', '-q', '-f', 'qcow2', ...backing, path], call);
    made.push({
      ...disk,
      ...{ targetPath: path, targetFormat: 'qcow2', targetKind: 'file' },
      ...{ sourcePath: key, sourceFormat: 'qcow2', sourceKind: 'file' },
      ...{ how: 'copy', allocation: 'thin', exclusive: true },
    });
  }
  return made;
}

/**
 * The hook looks at the images that a VM writes to, and at none below them. So here: what lies below is the cache's, and
 * no VM of this host has it. Throws `rehearsal-image-foreign`.
 */
async function assertOurs(
  { host }: ImportParts,
  image: { path: string; format: 'raw' | 'qcow2' },
  { cache, signal }: { cache: ImportCache; signal: AbortSignal },
): Promise<void> {
  const paths = [image.path];
  if (image.format === 'qcow2') {
    const { backing } = await imageInfo(image, { id: cache.label, limitMs: makeMs, signal });
    paths.push(backing);
  }
  const { entries } = await host.ledger.list();
  for (const path of paths) {
    const isInside = path.startsWith(`${cache.folder}/`) && !path.includes('/../');
    const identity = isInside ? await diskIdentity(path) : '';
    const owner = entries.find(({ disks }) =>
      disks.some((disk) => disk.path === path || (identity !== '' && disk.identity === identity)),
    );
    if (isInside && identity !== '' && owner === undefined) continue;
    const whose = owner === undefined ? 'is none of the cache' : `belongs to VM ${owner.name}`;
    throw unsafe({
      code: 'rehearsal-image-foreign',
      message: `${path || 'an image without a name'}, below the cached disks of a rehearsal, ${whose}`,
      remedy: 'Nothing was started. Discard the cache of this VM, then import it again.',
      host: host.name,
    });
  }
}

/** Lets QEMU's user through to them. Throws `rehearsal-folder-closed`. */
export async function openStage(
  { host, conversion, rehearsals }: ImportParts,
  cache: ImportCache,
): Promise<void> {
  if (rehearsals === undefined) return;
  const emulator = await rehearsals.host.emulator();
  const own = [host.stateDir, conversion.cacheDir];
  const reach = { emulator, own, host: host.name };
  await letThrough(folderOf(cache), reach);
  await letThrough(cache.conversionFolder, reach).catch(ignoreAbsent);
}

const ignoreAbsent = (error: unknown): void => {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
};

/**
 * Whatever is left of a rehearsal goes: the guest, then what it stood on, then the cache is closed again. Safe to run
 * twice, and where there never was one.
 */
export async function endRehearsal(
  { rehearsals }: Pick<ImportParts, 'rehearsals'>,
  cache: ImportCache,
): Promise<void> {
  if (rehearsals === undefined) return;
  await endChecks(checkLabel(cache));
  // libvirt's own traces have no part in whether there was one: the folder is made first and goes last.
  const isThere = await exists(folderOf(cache));
  if (!isThere) return;
  await rehearsals.host.end(rehearsalName(cache.key));
  const record = await cache.read();
  const copies = (record?.disks ?? []).map(cache.pathOf);
  const overlays = copies.map((_, place) => overlayPath(cache.conversionFolder, place));
  await takeBack([...copies, ...overlays]);
  for (const folder of [cache.folder, cache.conversionFolder])
    await chmod(folder, 0o700).catch(ignoreAbsent);
  await rm(folderOf(cache), { recursive: true, force: true });
}

const exists = (folder: string): Promise<boolean> =>
  access(folder).then(
    () => true,
    (error: unknown) => (error as NodeJS.ErrnoException).code !== 'ENOENT',
  );
