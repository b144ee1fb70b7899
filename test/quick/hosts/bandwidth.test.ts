import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HostBandwidth } from '../../../activities/host-bandwidth.ts';
import { LiveShares } from '../../../activities/live-shares.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-bandwidth-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

const mebibyte = 1024 ** 2;

describe('the caps of a host', () => {
  it('are as configured until a person sets others, and those outlive the worker', async () => {
    const parts = { stateDir, bandwidthBytesPerSecond: 7 };
    const bandwidth = new HostBandwidth(parts);
    expect(await bandwidth.inForce()).toEqual({ upBytesPerSecond: 7, downBytesPerSecond: 7 });
    await bandwidth.apply({ downBytesPerSecond: 9 });
    const after = { upBytesPerSecond: 7, downBytesPerSecond: 9 };
    expect(await bandwidth.inForce()).toEqual(after);
    expect(await new HostBandwidth(parts).inForce()).toEqual(after);
  });

  it('are as configured where the file is damaged', async () => {
    await writeFile(join(stateDir, 'limits.json'), '{"upBytesPer');
    const bandwidth = new HostBandwidth({ stateDir, bandwidthBytesPerSecond: 0 });
    expect(await bandwidth.inForce()).toEqual({ upBytesPerSecond: 0, downBytesPerSecond: 0 });
  });

  it('refuse what is no cap, and stay', async () => {
    const bandwidth = new HostBandwidth({ stateDir, bandwidthBytesPerSecond: 0 });
    await expect(bandwidth.apply({ upBytesPerSecond: -1 })).rejects.toThrow();
    expect(await bandwidth.inForce()).toEqual({ upBytesPerSecond: 0, downBytesPerSecond: 0 });
  });
});

describe('live migrations that leave a host', () => {
  it('share its cap as they come, go and as it changes, each below its own', async () => {
    const bandwidth = new HostBandwidth({ stateDir, bandwidthBytesPerSecond: 0 });
    await bandwidth.apply({ upBytesPerSecond: 100 * mebibyte });
    const told: string[] = [];
    const live = {
      setBandwidth: (uuid: string, mebibytes: number) => {
        told.push(`${uuid} ${mebibytes}`);
        return Promise.resolve('done' as never);
      },
    };
    const shares = new LiveShares({ live, bandwidth, ceiling: (cap) => cap });
    const troubles: unknown[] = [];
    const run = (
      uuid: string,
      own: number,
      migrate: (share: () => Promise<number>) => Promise<void>,
    ) =>
      shares.during({ uuid, ownBytesPerSecond: own * mebibyte }, migrate, (trouble) =>
        troubles.push(trouble),
      );
    await run('a', 0, async (first) => {
      expect(await first()).toBe(100 * mebibyte);
      await run('b', 30, async (second) => {
        expect(await second()).toBe(50 * mebibyte);
        expect(await first()).toBe(50 * mebibyte);
        expect(told).toEqual(['a 50']);
        told.length = 0;
        await bandwidth.apply({ upBytesPerSecond: 40 * mebibyte });
        expect(told).toEqual(['a 20', 'b 20']);
        told.length = 0;
        shares.tuned({ uuid: 'b', ownBytesPerSecond: 10 * mebibyte });
        expect(await shares.shareFor('b')).toBe(20 * mebibyte);
      });
      expect(told).toEqual(['a 40']);
    });
    expect(troubles).toEqual([]);
  });
});
