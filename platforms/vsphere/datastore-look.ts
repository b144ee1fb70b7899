/** What a datastore's browser says of a disk's files: for ways that read none of them by itself. */
import { needsOperator } from '../../domain/errors.ts';
import { childrenOf, textOf } from '../../protocols/soap/index.ts';
import { parseDatastorePath, showPath } from './datastore-path.ts';
import type { DiskView } from './disks.ts';
import { propertiesOf } from './properties.ts';
import { object, referenceIn, value } from './references.ts';
import type { VsphereSession } from './session.ts';
import { runTask } from './tasks.ts';

const limitMs = 120_000;
const mostFiles = 16;

/**
 * Size and time of the files of a disk, as one text for each: a VM that was started writes to them. It takes the privilege
 * to browse the datastore. Rejects with VmFerryError: `vsphere-no-permission`, `vsphere-disk-unstamped`.
 */
export async function stampsOf(
  session: VsphereSession,
  { path, datastore }: DiskView,
  signal?: AbortSignal,
): Promise<string[]> {
  const what = `look at ${path} on its datastore`;
  const place = parseDatastorePath(path);
  const name = place.parts.at(-1) ?? '';
  const folder = showPath(place).slice(0, -name.length).replace(/\/$/, '').trimEnd();
  const found =
    datastore && (await propertiesOf(session, datastore, ['browser'], { what, signal }));
  const browser = referenceIn(found?.get('browser'));
  const details = ['fileType', 'fileSize', 'modification', 'fileOwner'];
  const search = object('searchSpec', [
    object(
      'details',
      details.map((one) => value(one, one !== 'fileOwner')),
    ),
    // A browser of a real one shows a disk as one file, others as two.
    ...[name, name.replace(/\.vmdk$/, '-flat.vmdk')].map((one) => value('matchPattern', one)),
  ]);
  const parameters = [value('datastorePath', folder), search];
  const call = { method: 'SearchDatastore_Task', parameters };
  const result = browser && (await runTask(session, browser, call, { what, limitMs, signal }));
  const stamps = childrenOf(result, 'file')
    .slice(0, mostFiles)
    .map((file) => ['path', 'fileSize', 'modification'].map((part) => textOf(file, part)).join(' '))
    .toSorted();
  if (stamps.length > 0) return stamps;
  throw needsOperator({
    code: 'vsphere-disk-unstamped',
    message: `${session.host} shows no file of ${path}, so that nobody could tell whether it is written to`,
    remedy: 'Let the user browse the datastore (Datastore.Browse), or use another way than `nfc`.',
    host: session.host,
  });
}
