import { describe, expect, it } from 'vitest';
import { capsToApply } from '../../../domain/hosts/bandwidth.ts';
import { refusedBecause, withChange } from '../../../domain/hosts/settings.ts';
import { newHost } from '../../../domain/hosts/state.ts';
import type { HostState } from '../../../domain/hosts/state.ts';

const { settings } = newHost;

describe('a change of a host', () => {
  it('changes what it names and nothing else', () => {
    const labelled = withChange(settings, { labels: { disk: 'nvme', old: 'yes' } });
    const changed = withChange(labelled, { withoutLabels: ['old'], limits: { movesIn: 7 } });
    expect(changed).toEqual({
      ...settings,
      labels: { disk: 'nvme' },
      limits: { movesIn: 7, movesOut: 2 },
    });
  });

  it('of the migration address goes back by an empty one', () => {
    const set = withChange(settings, { migrationAddress: '198.51.100.1' });
    expect(withChange(set, {}).migrationAddress).toBe('198.51.100.1');
    expect(withChange(set, { migrationAddress: '' })).toEqual(settings);
  });

  it.each([
    [{ labels: { 'a b': 'x' } }, 'label "a b"'],
    [{ labels: { a: 'x\ny' } }, 'value of label "a"'],
    [
      { labels: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`l${at}`, ''])) },
      '32 labels',
    ],
    [{ limits: { movesIn: 33 } }, 'moves in'],
    [{ limits: { movesOut: 1.5 } }, 'moves out'],
    [{ limits: { upBytesPerSecond: -1 } }, 'bandwidth'],
    [{ migrationAddress: 'a; reboot' }, 'migration address'],
    [{ vcpuRatio: Number.NaN }, 'ratio'],
  ])('%j is refused with its reason', (change, reason) => {
    expect(refusedBecause(settings, change)).toEqual([expect.stringContaining(reason)]);
  });

  it('that makes sense is not refused', () => {
    const change = {
      labels: { 'rack/row': 'a-1', ssd: '' },
      limits: { movesIn: 0, upBytesPerSecond: 0 },
      migrationAddress: '2001:db8::1',
      vcpuRatio: 1.5,
    };
    expect(refusedBecause(settings, change)).toEqual([]);
  });
});

describe('caps', () => {
  const held = (up: number, down: number): HostState => ({
    ...newHost,
    bandwidth: { upBytesPerSecond: up, downBytesPerSecond: down },
  });
  const set = (of: HostState, limits: object): HostState => ({
    ...of,
    settings: { ...settings, limits: { ...settings.limits, ...limits } },
  });

  it('are told only where somebody set them and the worker holds to others', () => {
    expect(capsToApply(held(0, 0))).toBeUndefined();
    expect(capsToApply(set(held(0, 5), { downBytesPerSecond: 5 }))).toBeUndefined();
    expect(capsToApply(set(held(0, 5), { downBytesPerSecond: 6 }))).toEqual({
      downBytesPerSecond: 6,
    });
    expect(capsToApply(set(newHost, { upBytesPerSecond: 0 }))).toEqual({ upBytesPerSecond: 0 });
  });
});
