/** Conversions in whole imports, by a stand-in of virt-v2v-in-place; a real one is in debian.test.ts. */
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest';
import { importEnded, labRequest, volumeHash, hashOf } from './import-stage.ts';
import type { ImportStage } from './import-stage.ts';
import { openShelfStage } from './shelf-stage.ts';
import { MiB, putOnShelf, randomDisk } from './shelf.ts';

const sizeBytes = 32 * MiB;

let dir: string;
let stage: ImportStage;
/** Of the disk as the stand-in leaves it. */
let convertedHash: string;

/**
 * Tells its process, then does as the files beside it say: `wait`s, is `broken`, or writes to the overlay. What it
 * says comes first: whoever sees its process may kill its reader, and a word to nobody would end it.
 */
const standIn = (): string => `#!/bin/sh
case "$1" in
--version) echo 'virt-v2v-in-place 2.2.0'; exit 0;;
--help) echo ' -i <libvirtxml|disk>  Set the input mode'; exit 0;;
esac
echo '[   1.5] Converting Debian GNU/Linux 12 (bookworm) to run on KVM'
echo $$ >>${dir}/runs
while [ -e ${dir}/wait ]; do sleep 0.1; done
if [ -e ${dir}/broken ]; then
  echo 'virt-v2v-in-place: error: inspection could not detect the source guest (or physical machine).' >&2
  exit 1
fi
for last; do :; done
overlay=$(sed -n 's/.*<source file="\\(.*\\)"\\/>/\\1/p' "$last" | head -n 1)
qemu-io -f qcow2 -c 'write -P 0x77 1M 64k' "$overlay" >/dev/null
`;

beforeAll(async () => {
  const programIn = (folder: string): string => join(folder, 'virt-v2v-in-place');
  stage = await openShelfStage('import-convert', {
    fill: async (place) => {
      ({ dir } = place);
      await writeFile(programIn(dir), standIn(), { mode: 0o755 });
      const raw = await randomDisk(join(dir, 'web.raw'), { sizeBytes, dataBytes: 8 * MiB });
      await putOnShelf(place.shelf, { name: 'web', raw, sizeBytes, secondCard: true });
      await using file = await open(raw, 'r+');
      await file.write(Buffer.alloc(65_536, 0x77), 0, 65_536, MiB);
      convertedHash = await hashOf(raw);
    },
    conversion: (folder) => ({ program: programIn(folder) }),
  });
}, 240_000);
afterAll(() => stage.close(), 60_000);

const runs = async (): Promise<string[]> =>
  (await readFile(join(dir, 'runs'), 'utf8').catch(() => '')).split('\n').filter(Boolean);
const request = (name: string) =>
  labRequest({ provider: 'shelf', vm: 'web.ova#web', convert: 'yes', shape: { name } });

/** One that ended and that nobody has collected yet does nothing any more. */
async function lives(pid: string): Promise<boolean> {
  const said = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return said !== '' && !said.slice(said.lastIndexOf(')')).startsWith(') Z');
}

describe('the conversion in an import', () => {
  it('begins anew after kill -9 of the worker, and what that left running is ended', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    await writeFile(join(dir, 'wait'), '');
    const handle = await stage.start(request('killed'), 'web');
    while ((await runs()).length === 0) await delay(100);
    await stage.fleet.worker('alpha').kill9();
    const [first] = await runs();
    expect(await lives(first!)).toBe(true);
    while ((await runs()).length < 2) await delay(100);
    expect(await lives(first!)).toBe(false);
    await rm(join(dir, 'wait'));
    const report = await importEnded(handle);
    expect(report).toMatchObject({ phase: 'committed', conversion: { already: false } });
    expect(await volumeHash(stage, 'beta', 'killed-0.qcow2')).toBe(convertedHash);
    expect(await stage.virsh('beta', 'dumpxml', 'killed')).toContain("model='virtio-scsi'");
  });

  it('that is called off ends all of its processes, and keeps the copy', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    const before = (await runs()).length;
    await writeFile(join(dir, 'wait'), '');
    const handle = await stage.start(request('off'), 'web');
    while ((await runs()).length === before) await delay(100);
    await handle.cancel();
    const report = await importEnded(handle);
    await rm(join(dir, 'wait'));
    expect(report.phase).toBe('cancelled');
    expect(report.cachedUntil).toBeDefined();
    expect(await lives((await runs()).at(-1)!)).toBe(false);
    expect(await stage.virsh('beta', 'list', '--all', '--name')).not.toContain('off');
  });

  it('that fails ends the import with its reason, and the next one copies nothing', async () => {
    onTestFailed(async () => console.error(await stage.logs()));
    await writeFile(join(dir, 'broken'), '');
    const failed = await importEnded(await stage.start(request('mended'), 'web'));
    expect(failed).toMatchObject({ phase: 'failed', fault: { handling: 'permanent' } });
    expect(failed.cachedUntil).toBeDefined();
    await rm(join(dir, 'broken'));
    const report = await importEnded(await stage.start(request('mended'), 'web'));
    expect(report).toMatchObject({ phase: 'committed', disks: [{ bytesCopied: 0 }] });
    expect(await volumeHash(stage, 'beta', 'mended-0.qcow2')).toBe(convertedHash);
  });
});
