import { describe, expect, it } from 'vitest';
import { ProgressMemory } from '../../../cli/progress-memory.ts';
import { frameLines } from '../../../cli/render/frame.ts';
import { liveLines } from '../../../cli/render/live-run.ts';
import { PlainLog } from '../../../cli/render/plain.ts';
import { planLines } from '../../../cli/render/plan.ts';
import { reportLines } from '../../../cli/render/report.ts';
import { cells } from '../../../cli/render/text.ts';
import { viewFor } from '../../../cli/render/theme.ts';
import { stepsOf } from '../../../domain/move.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import { epochMs, planWith } from './fake-client.ts';
import { playedLive, playedLiveStatus, playedRun } from './fake-live.ts';

const viewOf = (columns: number) => viewFor({ isTTY: true, columns, env: { NO_COLOR: '1' } });
const frame = (ms: number, columns = 100): string[] =>
  frameLines(playedLiveStatus(ms), viewOf(columns), { now: epochMs + ms, rows: 24 });
const reportText = (live: Partial<typeof playedLive> = {}, mode: 'live' | 'cold' = 'live') => {
  const { report } = playedLiveStatus(20_000);
  const told = { ...report, mode, live: { ...playedLive, ...live } };
  return reportLines(told, viewOf(100), epochMs).join('\n');
};

describe('the frame of a live move', () => {
  it('shows no step that only a cold move has', () => {
    const text = frame(100).join('\n');
    expect(text).toContain('Move live');
    expect(text).not.toMatch(/Stop source|Copy|Verify|Export/u);
  });

  it('shows disks, memory, the pass, what the guest changes and the outlook', () => {
    const text = frame(9500).join('\n');
    expect(text).toMatch(/disks {3}━+ 100 % +10\.0 of 10\.0 GiB/u);
    expect(text).toMatch(/memory {2}━+─+ {2}\d\d % .* of 4\.00 GiB +1000 MiB\/s/u);
    expect(text).toContain('pass 2, the guest changes 950 MiB/s');
    expect(text).toContain('it ends in about 1 s');
  });

  it('promises no end while there is none in sight', () => {
    const lines = frame(11_500).filter((line) => line.includes('memory'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain('left');
  });

  it.each([41, 60, 80, 120])('never wraps on %i columns', (columns) => {
    for (let ms = 0; ms < 14_000; ms += 250)
      for (const line of frame(ms, columns)) expect(cells(line)).toBeLessThanOrEqual(columns);
  });

  it('says that the guest is on the target already in post-copy, and how far it is slowed down', () => {
    const place = { width: 100, indent: 4 };
    const inPost = { ...playedRun(9000), inPostCopy: true };
    expect(liveLines(inPost, viewOf(100), place).join('\n')).toContain(
      'the guest runs on the target, its memory follows',
    );
    const slowed = { ...playedRun(9000), throttlePercent: 30 };
    expect(liveLines(slowed, viewOf(100), place).join('\n')).toContain('slowed down by 30 %');
  });

  it('counts the rate of disks, which libvirt does not tell', () => {
    const memory = new ProgressMemory();
    const look = (elapsedMs: number, diskProcessedBytes: number) => {
      const status = playedLiveStatus(2000);
      const diskRemainingBytes = 1000 - diskProcessedBytes;
      const figures = { elapsedMs, diskProcessedBytes, diskRemainingBytes, bytesPerSecond: 0 };
      const live = { ...playedRun(0), ...figures };
      return memory.next({ ...status, live }).live!.bytesPerSecond;
    };
    expect(look(1000, 100)).toBe(0);
    expect(look(4000, 400)).toBe(100);
    expect(look(4500, 600)).toBe(100);
    expect(look(6000, 800)).toBe(200);
    expect(look(6500, 1000)).toBe(0);
  });

  it('keeps the last look while the worker is away, without a rate', () => {
    const memory = new ProgressMemory();
    memory.next(playedLiveStatus(9500));
    const { live: _, ...silent } = playedLiveStatus(9600);
    const shown = memory.next(silent);
    expect(shown.live).toMatchObject({ iteration: 2, bytesPerSecond: 0 });
    expect(shown.live?.outlook).toContain('no word from alpha');
    expect(memory.next(playedLiveStatus(20_000)).live).toBeUndefined();
  });
});

describe('a live move as lines', () => {
  it('says now and then how far it is, and what was done so that it ends', () => {
    const log = new PlainLog();
    const lines = [2000, 4000, 9500, 9600, 20_000].flatMap((ms) =>
      log.next(playedLiveStatus(ms), epochMs + ms),
    );
    const progress = lines.filter((line) => line.includes(' live disks '));
    expect(progress).toHaveLength(2);
    expect(progress[1]).toMatch(
      /^2026-03-04T10:00:09Z web-1 live disks 100% .*; memory \d\d% .* 1000 MiB\/s.*; pass 2, the guest changes 950 MiB\/s; it ends in about/u,
    );
    expect(lines).toContainEqual(
      expect.stringContaining('web-1 live raise-downtime at 10.2 s a longer pause was allowed: '),
    );
  });
});

describe('the report of a live move', () => {
  it("tells libvirt's pause, passes, bytes and each step with its reason", () => {
    const text = reportText();
    expect(text).toContain('alpha → beta, live');
    expect(text).toContain('412 ms, as the hosts measured it');
    expect(text).toContain('6.43 GiB of memory in 4 passes, 10.0 GiB of disks, in 12.0 s');
    expect(text).toContain('at 10.2 s a longer pause was allowed: the guest changes 950 MiB/s');
    expect(text).toContain('copied by libvirt while it ran, not hashed');
    expect(text).not.toContain('Downtime');
  });

  it('tells that it took several runs', () => {
    expect(reportText({ runs: 3 })).toContain('the last of 3 runs');
  });

  it('does not claim a pause that nobody measured', () => {
    const { downtimeMs: _, ...unmeasured } = playedLive;
    const { report } = playedLiveStatus(20_000);
    const live = { ...unmeasured, postCopy: true };
    const text = reportLines({ ...report, live }, viewOf(100), epochMs).join('\n');
    expect(text).toContain('not measured: libvirt has no figure of post-copy');
  });

  it('tells why it did not move live, and what was done instead', () => {
    const text = reportText({ gaveUp: 'the plan allows no more' }, 'cold');
    expect(text).toContain('alpha → beta, cold');
    expect(text).toMatch(/Not live +the plan allows no more/u);
    expect(text).not.toContain('as the hosts measured it');
  });
});

describe('the plan of a live move', () => {
  it('says that the guest runs on, and shows the pipeline of a live move', () => {
    const plan = planWith({ mode: 'live', steps: stepsOf({ live: defaultLiveWishes }) });
    const text = planLines(plan, viewOf(100)).join('\n');
    expect(text).toContain('web-1 runs on alpha and would run on');
    expect(text).toMatch(/4\. +Move live/u);
    expect(text).not.toContain('shut down');
  });
});
