import { createHash } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { conversionPaths } from '../../../convert/guestfs-environment.ts';
import { ConversionJournal } from '../../../convert/journal.ts';
import { journalDisks, makeOverlays } from '../../../convert/overlay.ts';
import type { ConversionDisk } from '../../../convert/overlay.ts';

/** A raw and a qcow2 disk, as they were copied. */
export async function copiedDisks(): Promise<{ folder: string; disks: ConversionDisk[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'convert-'));
  const disks: ConversionDisk[] = [
    // A comma and a colon are what QEMU's own syntax of names trips over.
    { key: '2000', path: join(folder, 'web, a:b.raw'), format: 'raw' },
    { key: 'data', path: join(folder, 'data.qcow2'), format: 'qcow2' },
  ];
  for (const { path, format } of disks) {
    await execa('qemu-img', ['create', '-q', '-f', format, path, '16M']);
    await write(path, format, ['write -P 0x11 0 8M']);
  }
  return { folder, disks };
}

const write = (path: string, format: string, commands: string[]) =>
  execa('qemu-io', [
    ...commands.flatMap((command) => ['-c', command]),
    '--image-opts',
    options(path, format),
  ]);

/** By options, a comma doubled: as a plain name qemu-io would take `a:` for a protocol. */
const options = (path: string, format: string): string =>
  `driver=${format},file.driver=file,file.filename=${path.replaceAll(',', ',,')}`;

/** What the guest sees of an image, all layers together. */
export async function contentOf(path: string, format: string): Promise<string> {
  const into = `${path}.content`;
  await execa('qemu-img', ['convert', '-O', 'raw', '--image-opts', options(path, format), into]);
  return createHash('sha256')
    .update(await readFile(into))
    .digest('hex');
}

export const openJournal = (folder: string, id: string, disks: ConversionDisk[]) =>
  ConversionJournal.open(conversionPaths(folder).journal, {
    id,
    disks: journalDisks(folder, disks),
  });

/** Overlays that differ from their bases, with a journal that says `converted`; and what they show. */
export async function convertedDisks(id: string) {
  const { folder, disks } = await copiedDisks();
  const journal = await openJournal(folder, id, disks);
  await makeOverlays(journal, { id });
  const wanted: string[] = [];
  for (const [index, { disk }] of journal.disks.entries()) {
    await write(disk.overlay, 'qcow2', [`write -P 0x2${index} 4M 8M`, 'write -z 1M 1M']);
    wanted.push(await contentOf(disk.overlay, 'qcow2'));
    await journal.record(disk.key, 'converted');
  }
  await journal.close();
  return { folder, disks, wanted };
}

/** A folder whose qemu-img is killed while it commits, after so many seconds; to be put before PATH. */
export async function killedQemuImg(folder: string, seconds: number): Promise<string> {
  const bin = join(folder, 'bin');
  await execa('mkdir', ['-p', bin]);
  const { stdout } = await execa('sh', ['-c', 'command -v qemu-img']);
  const script = `#!/bin/sh
[ "$1" = commit ] && exec timeout -s KILL ${seconds} ${stdout} "$@"
exec ${stdout} "$@"
`;
  await writeFile(join(bin, 'qemu-img'), script, { mode: 0o755 });
  return bin;
}
