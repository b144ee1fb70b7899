import { describe, expect, it } from 'vitest';
import { amount, diskBars } from '../../../cli/render/disk-bars.ts';
import { frameLines } from '../../../cli/render/frame.ts';
import { cells } from '../../../cli/render/text.ts';
import { makeTheme } from '../../../cli/render/theme.ts';
import { epochMs, playedStatus, statusWith } from './fake-client.ts';

const plain = makeTheme({ color: false, ascii: false });
const view = { theme: plain, width: 79, command: 'vmferry' };
const drawn = (ms: number, more: { tick?: number; rows?: number } = {}): string[] =>
  frameLines(playedStatus(ms), view, { now: epochMs + ms, ...more });

describe('the frame of a move', () => {
  it('shows the whole pipeline before anything has begun', () => {
    expect(frameLines(statusWith(), view, { now: epochMs })).toEqual([
      'web-1  alpha → beta  cold                                          planned  0 s',
      '',
      '  · Check           the VM, alpha and beta',
      '  · Reserve target  room and volumes on beta',
      '  · Guard source    alpha refuses other starts',
      '  · Stop source     off on alpha, and kept off',
      '  · Export          disks, read-only, over TLS',
      '  · Copy            the data of each disk, to beta',
      '  · Verify          hashes of both sides',
      '  · Define          the VM on beta',
      '  · Cut over        beta becomes the owner',
      '  · Start           the VM on beta',
      '  · Commit          removes the VM from alpha',
    ]);
  });

  it('shows a bar a disk while the copy runs, what was done before, and the try it is on', () => {
    expect(drawn(8000, { tick: 0 })).toEqual([
      'web-1  alpha → beta  cold                                          copying  8 s',
      '',
      '  ✓ Check           the VM, alpha and beta                                0.8 s',
      '    ! alpha and beta have different CPU models',
      '  ✓ Reserve target  room and volumes on beta                              0.3 s',
      '  ✓ Guard source    alpha refuses other starts                            0.2 s',
      '  ✓ Stop source     off on alpha, and kept off                            1.5 s',
      '  ✓ Export          disks, read-only, over TLS                            0.3 s',
      '  ⠋ Copy            the data of each disk, to beta                          4 s',
      '    try 2; first: the worker of beta stopped answering during: copy vdb',
      '    vda    ━━━━━━━━━━━━━──  87 %      5.46 of 6.20 GiB   412 MiB/s     1 s left',
      '    vdb    ━━━━━━━━───────  55 %      22.9 of 41.7 GiB   412 MiB/s    46 s left',
      '    total  ━━━━━━━━───────  59 %      28.4 of 47.9 GiB   824 MiB/s    24 s left',
      '  · Verify          hashes of both sides',
      '  · Define          the VM on beta',
      '  · Cut over        beta becomes the owner',
      '  · Start           the VM on beta',
      '  · Commit          removes the VM from alpha',
    ]);
  });

  it('fits every width and moment of a move', () => {
    for (const width of [40, 60, 79, 119, 199]) {
      for (let ms = 0; ms <= 17_000; ms += 500) {
        const lines = frameLines(
          playedStatus(ms),
          { ...view, width },
          { now: epochMs + ms, tick: 1 },
        );
        expect(Math.max(...lines.map(cells))).toBeLessThanOrEqual(width);
      }
    }
  });

  it('fits a low window, and keeps what runs in view', () => {
    for (const rows of [24, 16, 12, 8, 5, 3]) {
      const lines = drawn(8000, { rows });
      expect(lines.length).toBeLessThanOrEqual(rows);
      if (rows >= 3) expect(lines.join('\n')).toContain('Copy');
    }
  });

  it('lets disks that are done give way where there are many', () => {
    const disks = Array.from({ length: 12 }, (_, index) => ({
      name: `vd${index}`,
      capacityBytes: 100,
      totalBytes: 100,
      doneBytes: index < 6 ? 100 : 10,
      bytesPerSecond: 1,
    }));
    const lines = diskBars(disks, view, { width: 79, indent: 4, most: 4 });
    expect(lines.map((line) => line.trim().split(' ')[0])).toEqual(['vd6', 'vd7', 'vd8', 'total']);
    expect(diskBars(disks, view, { width: 79, indent: 4, most: 20 })).toHaveLength(13);
  });

  it('names a unit once where both amounts share it', () => {
    expect(amount(6 * 1024 ** 3, 10 * 1024 ** 3)).toBe('6.00 of 10.0 GiB');
    expect(amount(6 * 1024 ** 2, 10 * 1024 ** 3)).toBe('6.00 MiB of 10.0 GiB');
    expect(amount(0, 10 * 1024 ** 3)).toBe('0 B of 10.0 GiB');
  });

  it('does not let a VM forge lines or colours by its name', () => {
    const lines = frameLines(statusWith({ vm: { name: 'x\n\u001b[31mevil', uuid: 'u' } }), view, {
      now: epochMs,
    });
    expect(lines[0]).toContain(String.raw`x \u001b[31mevil`);
  });
});
