/** The verbs of a live move that are no run: what they refuse matters more than what they do. */
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { admitLive } from '../../../../activities/live/admit-live.ts';
import { awaitArrival } from '../../../../activities/live/await-arrival.ts';
import { liveView } from '../../../../activities/live/live-view.ts';
import { settleArrival } from '../../../../activities/live/settle-arrival.ts';
import { settleLive } from '../../../../activities/live/settle-live.ts';
import { withdrawLive } from '../../../../activities/live/withdraw-live.ts';
import { releaseSource } from '../../../../activities/ownership.ts';
import type { LivePlace } from '../../../../domain/live-outcome.ts';
import type { LiveView } from '../../../../platforms/libvirt/live/view.ts';
import { fakeHost, migrationId, ref, vm } from './fake-live.ts';
import type { FakeHost } from './fake-live.ts';

let stateDir: string;
let host: FakeHost;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-live-sides-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

const { signal } = new AbortController();
const move = { migrationId, epoch: 1 };

describe('the target', () => {
  const admit = async (run: number) =>
    (await admitLive(host.parts, { ...ref, source: 'alpha', run }, signal)).token;
  /** As the hook does when it lets a guest in. */
  const countStart = () => appendFile(join(stateDir, 'ledger', `${vm.uuid}.runs`), '.');

  beforeEach(async () => {
    host = await fakeHost(stateDir, 'incoming');
    host.live.place = 'gone';
  });

  it('gives one token for a run, however often it is asked, and has the undo look for a definition', async () => {
    const token = await admit(1);
    expect(token).toMatch(/^[0-9a-f]{32}$/);
    expect(await admit(1)).toBe(token);
    expect((await host.folder.read('target'))?.defined).toBe(true);
  });

  it('replaces a used token for a later run alone, and gives an older run none', async () => {
    const first = await admit(1);
    await countStart();
    await expect(admit(1)).rejects.toMatchObject({ code: 'admission-used' });
    const second = await admit(2);
    expect(second).not.toBe(first);
    expect(await admit(2)).toBe(second);
    await expect(admit(1)).rejects.toMatchObject({ code: 'live-run-over' });
    await countStart();
    await expect(admit(2)).rejects.toMatchObject({ code: 'admission-used' });
  });

  it('gives none while the VM is there in any form', async () => {
    host.live.place = 'off';
    await expect(admit(1)).rejects.toMatchObject({ code: 'live-target-not-gone' });
    host.live.place = 'switching';
    host.live.job = 'incoming';
    await expect(admit(1)).rejects.toMatchObject({ code: 'live-target-not-gone' });
    expect(await host.ledger.admission(vm.uuid, move)).toBe('none');
  });

  it('lets nothing in after a withdrawal, and answers only once nothing arrives any more', async () => {
    await admit(1);
    host.live.place = 'switching';
    host.live.job = 'incoming';
    setTimeout(() => Object.assign(host.live, { place: 'gone', job: 'none' }), 100);
    expect(await withdrawLive(host.parts, ref, signal)).toEqual({ place: 'gone', job: 'none' });
    expect(await host.ledger.admission(vm.uuid, move)).toBe('withdrawn');
    await expect(admit(1)).rejects.toMatchObject({ code: 'admission-withdrawn' });
  });
});

describe('a guest that arrived paused', () => {
  const settle = (to: 'go-on' | 'stay-paused' | 'off') =>
    settleArrival(host.parts, { ...ref, to }, signal);
  const place = async () => (await liveView(host.parts, ref)).place;

  beforeEach(async () => {
    host = await fakeHost(stateDir, 'incoming');
    host.live.place = 'gone';
    const wish = { ...ref, source: 'alpha', run: 1, mayHold: true as const };
    expect(await admitLive(host.parts, wish, signal)).toMatchObject({ holds: true });
    host.live.place = 'paused';
  });

  it("is held until it is let go, once; a later pause is a person's", async () => {
    expect(await place()).toBe('held');
    expect(await settle('go-on')).toEqual({ place: 'running', job: 'none' });
    await settle('go-on');
    expect(host.live.told).toEqual(['resume']);
    host.live.place = 'paused';
    expect(await place()).toBe('paused');
    await expect(settle('off')).rejects.toMatchObject({ code: 'live-arrival-not-settleable' });
  });

  it('goes on where a kill came between the note and the order', async () => {
    await host.folder.write('admission', { run: 1, holds: true, letGo: true });
    await settle('go-on');
    expect(host.live.told).toEqual(['resume']);
  });

  it('stays as a person had paused it, and is held no more', async () => {
    expect(await settle('stay-paused')).toEqual({ place: 'paused', job: 'none' });
    expect(host.live.told).toEqual([]);
    expect(await place()).toBe('paused');
  });

  it('is ended where it goes on at the source, once', async () => {
    expect(await settle('off')).toEqual({ place: 'gone', job: 'none' });
    await settle('off');
    expect(host.told).toEqual(['force off', 'undefine']);
  });

  it('is never ended while it runs, nor touched while it still arrives', async () => {
    host.live.place = 'running';
    await expect(settle('off')).rejects.toMatchObject({ code: 'live-arrival-not-settleable' });
    Object.assign(host.live, { place: 'paused', job: 'incoming' });
    await expect(settle('off')).rejects.toMatchObject({ code: 'live-arrival-not-settleable' });
    expect(host.told).toEqual([]);
  });

  it('is not touched under another epoch', async () => {
    const late = settleArrival(host.parts, { ...ref, epoch: 2, to: 'go-on' }, signal);
    await expect(late).rejects.toMatchObject({ handling: 'unsafe' });
    expect(host.live.told).toEqual([]);
  });

  describe('and is awaited', () => {
    const wait = (abort = new AbortController()) => {
      const waits: unknown[] = [];
      const input = { ...ref, sourceAddress: '198.51.100.1' };
      const report = (details: unknown) => {
        waits.push(details);
        if (waits.length === 2) abort.abort(new Error('called off'));
      };
      const { signal } = abort;
      return { waits, arrival: awaitArrival(host.parts, input, { signal, report }) };
    };
    const saying = (place: LivePlace): Promise<LiveView> =>
      Promise.resolve({ place, job: { kind: 'none' } });

    it("goes on once the source's libvirt says that it let go", async () => {
      const answers: LivePlace[] = ['switching', 'moved-away'];
      host.live.peer = () => saying(answers.shift() ?? 'gone');
      expect(await wait().arrival).toEqual({ place: 'running', job: 'none' });
      expect(host.live.told).toEqual(['resume']);
      expect(answers).toEqual([]);
    });

    it.each(['running', 'paused', 'switching', 'post-copy'] as const)(
      'stays held while the source is %s',
      async (place) => {
        host.live.peer = () => saying(place);
        const { arrival, waits } = wait();
        await expect(arrival).rejects.toThrow('aborted');
        expect(waits[0]).toEqual({ waitsFor: `it is ${place} at the source` });
        expect(host.live.told).toEqual([]);
      },
    );

    it('stays held while the source does not answer, and says so', async () => {
      const { arrival, waits } = wait();
      await expect(arrival).rejects.toThrow('aborted');
      expect(waits[0]).toEqual({ waitsFor: 'no answer' });
      expect(host.live.told).toEqual([]);
    });

    it('is left alone where somebody else let it go', async () => {
      host.live.place = 'running';
      expect(await wait().arrival).toEqual({ place: 'running', job: 'none' });
      expect(host.live.told).toEqual([]);
    });
  });

  it('that was let go although a person had paused it is paused again', async () => {
    await settle('go-on');
    expect(await settle('stay-paused')).toMatchObject({ place: 'switching' });
    expect(host.live.told).toEqual(['resume', 'pause']);
  });

  it('is nobody but a person, where the move never asked to hold it', async () => {
    await host.folder.write('admission', { run: 1 });
    expect(await place()).toBe('paused');
  });
});

describe('the source', () => {
  beforeEach(async () => {
    host = await fakeHost(stateDir, 'migrating-out');
  });
  const settle = (to: 'off' | 'resume') => settleLive(host.parts, { ...ref, to }, signal);

  it('does not touch a guest that runs, nor one that somebody else paused', async () => {
    await expect(settle('off')).rejects.toMatchObject({ code: 'live-not-settleable' });
    host.live.place = 'paused';
    await expect(settle('off')).rejects.toMatchObject({ code: 'live-not-settleable' });
    await expect(settle('resume')).rejects.toMatchObject({ code: 'live-not-settleable' });
    expect(host.told).toEqual([]);
    expect(host.live.told).toEqual([]);
  });

  it('does not touch one in the middle of a migration', async () => {
    Object.assign(host.live, { place: 'switching', job: 'outgoing' });
    await expect(settle('off')).rejects.toMatchObject({ code: 'live-not-settleable' });
  });

  it.each([['off', 'force off', 'off'] as const, ['resume', 'resume', 'running'] as const])(
    'brings one that was left at the switch to its end (%s), once',
    async (to, order, place) => {
      host.live.place = 'switching';
      await settle(to);
      await settle(to);
      expect([...host.told, ...host.live.told]).toEqual([order]);
      expect(host.live.place).toBe(place);
    },
  );

  it("knows a guest that its own policy paused, and once it goes on, a later pause is a person's", async () => {
    await host.folder.write('live', { run: 1, steps: [], paused: true });
    host.live.place = 'paused';
    expect((await liveView(host.parts, ref)).place).toBe('switching');
    await settle('resume');
    expect(host.live.place).toBe('running');
    host.live.place = 'paused';
    expect((await liveView(host.parts, ref)).place).toBe('paused');
    await expect(settle('resume')).rejects.toMatchObject({ code: 'live-not-settleable' });
  });

  it('ends the rest of a guest that its own policy paused', async () => {
    await host.folder.write('live', { run: 1, steps: [], paused: true });
    host.live.place = 'paused';
    await settle('off');
    expect(host.told).toEqual(['force off']);
  });

  it('is released only once the VM is off or moved away there', async () => {
    const input = { ...ref, target: 'beta', disks: [], fingerprints: {}, live: true as const };
    for (const place of ['running', 'paused', 'switching', 'post-copy'] as const) {
      host.live.place = place;
      await expect(releaseSource(host.parts, input, signal)).rejects.toMatchObject({
        code: 'source-changed',
      });
    }
    host.live.place = 'moved-away';
    await releaseSource(host.parts, input, signal);
    expect(await host.ledger.read(vm.uuid)).toMatchObject({ state: 'released' });
  });
});
