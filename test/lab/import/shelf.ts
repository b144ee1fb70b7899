/** OVAs for imports of the lab. */
import { randomBytes } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { imageOf, manifestOf, writeTar } from '../../contract/foreign/ova-fixture.ts';
import type { Member } from '../../contract/foreign/ova-fixture.ts';
import { itemText, vmwareOvf } from '../../quick/ova/ovf-texts.ts';

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

interface Shelved {
  name: string;
  sizeBytes: number;
  /** Beside the card that it has; names of two cards are nobody's to guess, so that nothing looks into the disk for them. */
  secondCard?: boolean;
  firmware?: 'bios' | 'uefi';
}

/** An OVA with a manifest, of one machine with one compressed image of that raw disk. */
export async function putOnShelf(
  folder: string,
  { raw, ...machine }: Shelved & { raw: string },
): Promise<void> {
  const options = 'subformat=streamOptimized';
  await putImageOnShelf(
    folder,
    machine,
    await imageOf(raw, `${raw}.vmdk`, { format: 'vmdk', options }),
  );
}

/** The same of an image that there is. */
export async function putImageOnShelf(
  folder: string,
  { name, sizeBytes, secondCard = false, firmware }: Shelved,
  image: Buffer,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const href = `${name}-disk1.vmdk`;
  const disks = [{ id: 'disk1', href, capacity: sizeBytes }];
  const efi = firmware === 'uefi' ? '<vmw:Config vmw:key="firmware" vmw:value="efi"/>' : '';
  const hardware = `${secondCard ? itemText(cardItem) : ''}${efi}`;
  const ovf: Member = {
    name: `${name}.ovf`,
    body: Buffer.from(vmwareOvf({ name, disks, hardware })),
  };
  const disk: Member = { name: href, body: image };
  await writeTar(join(folder, `${name}.ova`), [ovf, manifestOf([ovf, disk]), disk]);
}

const cardItem = {
  ...{ AutomaticAllocation: 'true', Connection: 'VM Network', InstanceID: 41 },
  ...{ ResourceSubType: 'VmxNet3', ResourceType: 10 },
};
