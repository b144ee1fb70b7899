/** No Windows is at hand: something that virt-v2v takes for one, converted in place by the real tool. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { probeAcceleration } from '../../../convert/acceleration.ts';
import { convertInPlace } from '../../../convert/in-place.ts';
import { detectTool } from '../../../convert/tool.ts';
import { driverText, makeWindowsLike } from '../../../lab/guests/windows.ts';
import { missingGuestTools } from './guest-tools.ts';

const limitMs = 30 * 60_000;
const id = `windows-${process.pid}`;

it(
  'gets drivers and the service that its boot disk needs, and its copy stays as it came',
  async ({ skip }) => {
    const missing = await missingGuestTools(['mkntfs', 'ntfs-3g', 'sfdisk', 'qemu-img']);
    if (missing !== '') skip(missing);
    const dir = await mkdtemp(join(tmpdir(), 'windows-'));
    await using closing = new AsyncDisposableStack();
    closing.defer(() => rm(dir, { recursive: true, force: true }));
    const { raw, virtioWin } = await makeWindowsLike(dir);
    const before = await readFile(raw);
    const tool = await detectTool({ id, acceleration: await probeAcceleration({ id }) });
    const folder = join(dir, 'work');
    const result = await convertInPlace({
      ...{ id, vm: 'windows', firmware: 'bios', folder, cache: join(dir, 'cache'), tool, limitMs },
      disks: [{ key: '2000', path: raw, format: 'raw' }],
      ...{ guestFamily: 'windows', virtioWin },
    });
    expect(result).toMatchObject({ virtio: true, already: false });
    expect(before.equals(await readFile(raw))).toBe(true);
    const after = join(dir, 'after.raw');
    const [overlay] = result.overlays;
    await execa('qemu-img', ['convert', '-O', 'raw', overlay!.path, after], { timeout: 60_000 });
    const bytes = await readFile(after);
    const times = (text: string): number => {
      let count = 0;
      for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + 1)) count += 1;
      return count;
    };
    // In the folder of all drivers, and among those that the system starts with.
    expect(times(driverText('viostor.sys'))).toBeGreaterThanOrEqual(2);
    expect(times(driverText('netkvm.inf'))).toBeGreaterThanOrEqual(1);
    // The key of a service: a cell whose name it is.
    expect(before.includes('viostor')).toBe(false);
    expect(times('\x07\0\0\0viostor')).toBeGreaterThanOrEqual(1);
  },
  limitMs,
);
