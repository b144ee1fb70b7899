import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commitOverlays } from '../../../convert/commit.ts';
import { convertInPlace } from '../../../convert/in-place.ts';
import type { ConversionRequest } from '../../../convert/in-place.ts';
import { labelledProcesses } from '../../../convert/labelled-process.ts';
import type { ConversionProgress } from '../../../convert/stages.ts';
import { contentOf, copiedDisks, openJournal } from './small-disks.ts';
import { standIn } from './stand-in.ts';
import type { ConversionDisk } from '../../../convert/overlay.ts';

let folder: string;
let disks: ConversionDisk[];
let before: string[];
let number = 0;
let id: string;
beforeEach(async () => {
  ({ folder, disks } = await copiedDisks());
  before = await contents();
  id = `in-place-${process.pid}-${(number += 1)}`;
});
afterEach(() => rm(folder, { recursive: true }));

const contents = () => Promise.all(disks.map(({ path, format }) => contentOf(path, format)));
const work = () => join(folder, 'work');
const request = async (
  script: string,
  more: Partial<ConversionRequest> = {},
): Promise<ConversionRequest> => ({
  ...{ id, vm: 'web', disks, firmware: 'bios', folder: work(), cache: join(folder, 'cache') },
  tool: await standIn(folder, script),
  ...more,
});
const nothingLeft = async (): Promise<void> => {
  expect(await labelledProcesses(id)).toEqual([]);
  const names = await readdir(work());
  expect(names).not.toContain('tmp');
  expect(names).not.toContain('keys');
};
/** A helper of the tool in a session of its own, as a daemon is. */
const daemon = 'setsid sleep 300 >/dev/null 2>&1 &';

describe('a conversion in place', () => {
  it('changes overlays only, tells its stages, and leaves nothing running', async () => {
    const stages: ConversionProgress[] = [];
    const onProgress = (progress: ConversionProgress) => stages.push(progress);
    const result = await convertInPlace(await request(`change; ${daemon}`, { onProgress }));
    expect(result).toMatchObject({ already: false, warnings: [] });
    expect(stages.map(({ stage }) => stage.split(' ')[0])).toEqual(['Setting', 'Converting']);
    expect(await contents()).toEqual(before);
    expect(await contentOf(result.overlays[0]!.path, 'qcow2')).not.toBe(before[0]);
    expect(await readFile(result.logPath, 'utf8')).toContain('[   1.5] Converting Debian');
    await nothingLeft();
  });

  it('is not run again once it has ended well, and its overlays can be committed', async () => {
    await convertInPlace(await request('change'));
    const again = await convertInPlace(await request('exit 1'));
    expect(again.already).toBe(true);
    const wanted = await Promise.all(again.overlays.map(({ path }) => contentOf(path, 'qcow2')));
    const journal = await openJournal(work(), id, disks);
    await commitOverlays(journal, { id });
    await journal.close();
    expect(await contents()).toEqual(wanted);
    expect((await convertInPlace(await request('exit 1'))).already).toBe(true);
  });

  it('that failed names why, and starts over from the copy', async () => {
    const failing =
      'change; echo "virt-v2v-in-place: error: virt-v2v is unable to convert this guest type (hurd/debian)" >&2; exit 1';
    await expect(convertInPlace(await request(failing))).rejects.toMatchObject({
      code: 'guest-unsupported',
    });
    await nothingLeft();
    expect(await contents()).toEqual(before);
    const result = await convertInPlace(await request('true'));
    expect(await contentOf(result.overlays[0]!.path, 'qcow2')).toBe(before[0]);
  });

  it('that is cancelled ends all of its processes before it says so', async () => {
    const stop = new AbortController();
    const onProgress = ({ stage }: ConversionProgress) => {
      if (stage.startsWith('Converting')) stop.abort(new Error('cancelled by a person'));
    };
    const long = await request(`${daemon} change; sleep 300`, { signal: stop.signal, onProgress });
    await expect(convertInPlace(long)).rejects.toThrow('cancelled by a person');
    await nothingLeft();
    expect(await contents()).toEqual(before);
  });

  it('that takes too long is ended', async () => {
    const long = await request(`${daemon} sleep 300`, { limitMs: 1_000 });
    await expect(convertInPlace(long)).rejects.toMatchObject({
      code: 'conversion-too-slow',
      handling: 'transient',
    });
    await nothingLeft();
  });

  it('ends what a killed worker left running, and starts over', async () => {
    const env = { ...process.env, VMFERRY_CONVERSION: id };
    const left = spawn('sleep', ['300'], { detached: true, env });
    const gone = once(left, 'exit');
    await once(left, 'spawn');
    await convertInPlace(await request('change'));
    await gone;
    await nothingLeft();
  });

  it('gives keys by files that are gone afterwards, and drivers by their path', async () => {
    const passphrase = () => Promise.resolve(Buffer.from('open sesame'));
    const script = `change; ls -l "$TMPDIR/../keys" >"$TMPDIR/../seen"; cat "$TMPDIR/../keys/key-0" >>"$TMPDIR/../seen"`;
    const keys = [{ device: '/dev/sda2', passphrase }];
    await convertInPlace(
      await request(script, { keys, virtioWin: folder, guestFamily: 'windows' }),
    );
    const [seen, args, env] = await Promise.all(
      ['seen', 'arguments', 'environment'].map((name) => readFile(join(work(), name), 'utf8')),
    );
    expect(seen).toMatch(/^-rw------- .*key-0$/m);
    expect(seen).toContain('open sesame');
    expect(`${args} ${env}`).not.toContain('sesame');
    expect(args).toContain(`/dev/sda2:file:${work()}/keys/key-0`);
    expect(env).toContain(`VIRTIO_WIN=${folder}\n`);
    expect(env).toContain('LIBGUESTFS_BACKEND_SETTINGS=force_tcg');
    expect(env).toContain('LIBGUESTFS_APPEND=norandmaps');
    await nothingLeft();
    expect((await stat(join(work(), 'virt-v2v.log'))).mode & 0o777).toBe(0o600);
  });

  it('says before it begins that the drivers are not there', async () => {
    const lacking = await request('change', { virtioWin: join(folder, 'none.iso') });
    await expect(convertInPlace(lacking)).rejects.toMatchObject({ code: 'virtio-win-missing' });
  });

  it('says before it begins that the host has no room', async () => {
    const small = join(folder, 'small');
    await execa('mkdir', [small]);
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', small]);
    try {
      const full = await request('change', { folder: join(small, 'work') });
      await expect(convertInPlace(full)).rejects.toMatchObject({
        code: 'conversion-host-full',
        handling: 'needs-operator',
      });
      await expect(access(join(small, 'work', 'disk-0.qcow2'))).rejects.toThrow('ENOENT');
    } finally {
      await execa('umount', [small]);
    }
  });
});
