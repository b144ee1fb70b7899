/** OVAs for imports of the lab. */
import { randomBytes } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { imageOf, manifestOf, writeTar } from '../../contract/foreign/ova-fixture.ts';
import type { Member } from '../../contract/foreign/ova-fixture.ts';
import { vmwareOvf } from '../../quick/ova/ovf-texts.ts';

export const MiB = 1024 ** 2;

/** A raw disk whose first bytes after 1 MiB nothing else has. */
export async function randomDisk(
  path: string,
  { sizeBytes, dataBytes }: { sizeBytes: number; dataBytes: number },
): Promise<string> {
  await using file = await open(path, 'w');
  await file.truncate(sizeBytes);
  await file.write(randomBytes(dataBytes), 0, dataBytes, MiB);
  return path;
}

/** An OVA with a manifest, of one machine with one compressed image of that raw disk. */
export async function putOnShelf(
  folder: string,
  { name, raw, sizeBytes }: { name: string; raw: string; sizeBytes: number },
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const options = 'subformat=streamOptimized';
  const image = await imageOf(raw, `${raw}.vmdk`, { format: 'vmdk', options });
  const href = `${name}-disk1.vmdk`;
  const ovf: Member = {
    name: `${name}.ovf`,
    body: Buffer.from(vmwareOvf({ name, disks: [{ id: 'disk1', href, capacity: sizeBytes }] })),
  };
  const disk: Member = { name: href, body: image };
  await writeTar(join(folder, `${name}.ova`), [ovf, manifestOf([ovf, disk]), disk]);
}
