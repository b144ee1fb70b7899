import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  beginConvergence,
  ConvergenceAct,
  countAnew,
  nextConvergenceStep,
} from '../../../domain/convergence.ts';
import type {
  ConvergenceOptions,
  ConvergenceSample,
  ConvergenceStep,
} from '../../../domain/convergence.ts';
import { predictEnd } from '../../../domain/convergence-prediction.ts';

const mebibyte = 1024 * 1024;

const strict: ConvergenceOptions = {
  maxDowntimeMs: 300,
  quicklyFinish: false,
  highestDowntimeMs: 8_000,
  allowAutoConverge: false,
  allowPostCopy: false,
  allowPause: false,
  patienceMs: 10_000,
};

const sample = (over: Partial<ConvergenceSample> = {}): ConvergenceSample => ({
  elapsedMs: 0,
  iteration: 3,
  memoryProcessedBytes: 0,
  memoryRemainingBytes: 100 * mebibyte,
  bytesPerSecond: 10 * mebibyte,
  dirtyBytesPerSecond: 0,
  diskProcessedBytes: 0,
  diskRemainingBytes: 0,
  throttlePercent: 0,
  inPostCopy: false,
  ...over,
});

/** A guest and a link in MiB and MiB/s, as QEMU would report them. */
interface World {
  memory: number;
  rate: number;
  dirty: number;
  /** What it writes to, over and over. */
  workingSet: number;
}

/** Plays a run, a sample a step, with the acts carried out, until it ends or `limitMs` is over. */
function play(
  world: World,
  options: ConvergenceOptions,
  { limitMs = 1_800_000, stepMs = 1_000 } = {},
): { acts: ConvergenceStep[]; end: 'converged' | 'post-copy' | 'gave-up' | 'endless' } {
  let state = beginConvergence(options);
  const acts: ConvergenceStep[] = [];
  let { dirty } = world;
  let left = world.memory;
  let passLeft = left;
  let changed = 0;
  let iteration = 1;
  let crossed = 0;
  let throttle = 0;
  let highPasses = 0;
  const factor = (): number => 1 - throttle / 100;
  for (let elapsedMs = stepMs; elapsedMs <= limitMs; elapsedMs += stepMs) {
    const sent = Math.min((world.rate * stepMs) / 1000, passLeft);
    crossed += sent;
    passLeft -= sent;
    changed = Math.min(world.workingSet, changed + (dirty * factor() * stepMs) / 1000);
    if (passLeft <= 0 && world.rate > 0) {
      // QEMU slows the guest down after the second pass in which half of what crossed was changed anew.
      if (options.allowAutoConverge && changed > left / 2) highPasses += 1;
      if (highPasses === 2) {
        throttle = throttle === 0 ? 20 : Math.min(99, throttle + 10);
        highPasses = 0;
      }
      left = changed;
      passLeft = left;
      changed = 0;
      iteration += 1;
      if (left <= (world.rate * state.downtimeMs) / 1000) return { acts, end: 'converged' };
    }
    const seen = sample({
      elapsedMs,
      iteration,
      memoryProcessedBytes: crossed * mebibyte,
      memoryRemainingBytes: passLeft * mebibyte,
      bytesPerSecond: world.rate * mebibyte,
      dirtyBytesPerSecond: iteration > 1 ? dirty * factor() * mebibyte : 0,
      throttlePercent: throttle,
    });
    const step = nextConvergenceStep(state, seen, options);
    // What is remembered has to survive as JSON.
    state = JSON.parse(JSON.stringify(step.state)) as typeof state;
    expect(state).toEqual(step.state);
    if (step.act === ConvergenceAct.wait) continue;
    acts.push(step);
    if (step.act === ConvergenceAct.pause) dirty = 0;
    if (step.act === ConvergenceAct.postCopy) return { acts, end: 'post-copy' };
    if (step.act === ConvergenceAct.giveUp) return { acts, end: 'gave-up' };
  }
  return { acts, end: 'endless' };
}

const names = ({ acts }: { acts: ConvergenceStep[] }): string[] => acts.map(({ act }) => act);

describe('the prediction', () => {
  const allowed = (downtimeMs: number) => ({ downtimeMs, paused: false });
  it('takes the time that the surplus of the rate needs for what is left', () => {
    const seen = sample({ dirtyBytesPerSecond: 5 * mebibyte });
    expect(predictEnd(seen, allowed(300))).toMatchObject({ ends: true, etaMs: 19_400 });
  });

  it('sees no end where as much changes as crosses, unless what is left fits into the pause', () => {
    const seen = sample({ dirtyBytesPerSecond: 10 * mebibyte });
    expect(predictEnd(seen, allowed(300))).toMatchObject({ ends: false });
    expect(predictEnd(seen, allowed(10_000))).toMatchObject({ ends: true, etaMs: 0 });
  });

  it('takes a guest that stands still at its word, not at the average of its last pass', () => {
    const seen = sample({ dirtyBytesPerSecond: 20 * mebibyte });
    expect(predictEnd(seen, { downtimeMs: 0, paused: true })).toMatchObject({ etaMs: 10_000 });
  });

  it('sees no end where nothing crosses', () => {
    expect(predictEnd(sample({ bytesPerSecond: 0 }), allowed(300))).toMatchObject({ ends: false });
  });
});

describe('a run that cannot end', () => {
  const endless: World = { memory: 1_000, rate: 50, dirty: 60, workingSet: 500 };
  const all = { ...strict, quicklyFinish: true, allowAutoConverge: true, allowPause: true };

  it('is given up where the plan allows nothing, and the sentence says why', () => {
    const played = play(endless, strict);
    expect(names(played)).toEqual(['give-up']);
    expect(played.acts[0]?.why).toBe(
      'the guest changes 60 MiB/s, and 50 MiB/s cross; the plan allows no more',
    );
  });

  it('goes to post-copy where that is allowed', () => {
    expect(play(endless, { ...strict, allowPostCopy: true })).toMatchObject({ end: 'post-copy' });
  });

  it('gets a longer pause, up to the highest, where it is to finish quickly', () => {
    const played = play(endless, { ...all, allowAutoConverge: false, allowPause: false });
    const pauses = played.acts.filter(({ act }) => act === 'raise-downtime');
    expect(pauses.at(-1)?.state.downtimeMs).toBe(8_000);
    expect(names(played).at(-1)).toBe('give-up');
    const quiet = { ...endless, workingSet: 200 };
    expect(play(quiet, { ...all, allowPause: false }).end).toBe('converged');
  });

  it('is slowed down until it ends, which takes as long as QEMU goes on to slow it', () => {
    const played = play(endless, { ...strict, allowAutoConverge: true });
    expect(played.end).toBe('converged');
    for (const act of names(played)) expect(act).toBe('throttle');
  });

  it('is not given up between two steps of the throttle, though each takes longer than the patience', () => {
    // A pass of 16 s, as on a link of 8 MiB/s.
    const slow: World = { memory: 128, rate: 8, dirty: 60, workingSet: 120 };
    const played = play(slow, { ...strict, allowAutoConverge: true, patienceMs: 3_000 });
    expect(names(played)).toEqual(['throttle']);
    expect(played.end).toBe('converged');
  });

  it('is given up once the throttle comes to nothing for four passes, or for half an hour', () => {
    const plan = { ...strict, allowAutoConverge: true };
    const gaveUpAfter = (passMs: number): { passes: number; ms: number } => {
      let state = beginConvergence(plan);
      let throttledAtMs = 0;
      for (let elapsedMs = 0; ; elapsedMs += 1_000) {
        const iteration = 2 + Math.floor(elapsedMs / passMs);
        const memoryRemainingBytes = (100 - (99 * (elapsedMs % passMs)) / passMs) * mebibyte;
        const dirtyBytesPerSecond = 60 * mebibyte;
        const passed = { elapsedMs, iteration, memoryProcessedBytes: elapsedMs };
        const seen = sample({ ...passed, memoryRemainingBytes, dirtyBytesPerSecond });
        const step = nextConvergenceStep(state, seen, plan);
        ({ state } = step);
        if (step.act === 'throttle') throttledAtMs = elapsedMs;
        const ms = elapsedMs - throttledAtMs;
        if (step.act === 'give-up') return { passes: Math.round(ms / passMs), ms };
      }
    };
    expect(gaveUpAfter(100_000)).toMatchObject({ passes: 4 });
    expect(gaveUpAfter(3_600_000)).toMatchObject({ ms: 1_800_000 });
    expect(gaveUpAfter(1_000)).toMatchObject({ ms: 10_000 });
  });

  it('ends with the guest paused where that is allowed', () => {
    const played = play(endless, { ...strict, allowPause: true });
    expect(played.end).toBe('converged');
    expect(names(played)).toEqual(['pause']);
  });

  it('is given up, not sent to post-copy, where nothing crosses', () => {
    const dead = { ...endless, rate: 0 };
    const played = play(dead, { ...all, allowPostCopy: true });
    expect(names(played)).toEqual(['give-up']);
    // The link is to blame, and not the guest.
    expect(played.acts[0]?.state.stalled).toBe(true);
    expect(play(endless, strict).acts[0]).toMatchObject({
      act: 'give-up',
      state: { stalled: false },
    });
  });

  it('is not waited for although each look predicts an end that never comes', () => {
    let state = beginConvergence(strict);
    const acts: string[] = [];
    for (let elapsedMs = 0; elapsedMs < 120_000; elapsedMs += 1_000) {
      const seen = sample({ elapsedMs, memoryProcessedBytes: elapsedMs, dirtyBytesPerSecond: 1 });
      const step = nextConvergenceStep(state, seen, strict);
      ({ state } = step);
      if (step.act !== 'wait') acts.push(step.act);
    }
    expect(acts).toEqual(['give-up']);
  });
});

describe('a run', () => {
  it('is left alone as long as disks or the first pass cross', () => {
    const { act } = nextConvergenceStep(
      beginConvergence(strict),
      sample({
        elapsedMs: 5_000,
        iteration: 0,
        diskProcessedBytes: 1,
        diskRemainingBytes: 1,
        bytesPerSecond: 0,
      }),
      strict,
    );
    expect(act).toBe('wait');
    expect(play({ memory: 1e6, rate: 10, dirty: 0, workingSet: 0 }, strict).acts).toEqual([]);
  });

  it('gets two minutes until its first byte, however short the patience', () => {
    const hasty = { ...strict, patienceMs: 1_000 };
    const actAt = (elapsedMs: number): string => {
      const seen = sample({ elapsedMs, iteration: 0, bytesPerSecond: 0 });
      return nextConvergenceStep(beginConvergence(hasty), seen, hasty).act;
    };
    expect(actAt(119_000)).toBe('wait');
    expect(actAt(120_000)).toBe('give-up');
  });

  it('is left alone where its passes take longer than the patience, and each leaves less', () => {
    const guest: World = { memory: 2_000, rate: 20, dirty: 15, workingSet: 2_000 };
    const played = play(guest, { ...strict, patienceMs: 5_000 }, { stepMs: 50 });
    expect(played).toEqual({ acts: [], end: 'converged' });
  });

  it('with a paused guest is given the time that its memory takes, though a pass before it came nearer', () => {
    const plan = { ...strict, allowPause: true, patienceMs: 2_000 };
    let state = beginConvergence(plan);
    const acts: string[] = [];
    const take = (elapsedMs: number, mebibytesLeft: number): void => {
      const step = nextConvergenceStep(
        state,
        sample({
          elapsedMs,
          memoryProcessedBytes: elapsedMs,
          memoryRemainingBytes: mebibytesLeft * mebibyte,
          dirtyBytesPerSecond: 60 * mebibyte,
        }),
        plan,
      );
      ({ state } = step);
      if (step.act !== 'wait') acts.push(step.act);
    };
    take(0, 10);
    for (let ms = 500; ms <= 2_500; ms += 500) take(ms, 100);
    expect(acts).toEqual(['pause']);
    for (let ms = 3_000; ms <= 30_000; ms += 500) take(ms, 100 - ms / 500);
    expect(acts).toEqual(['pause']);
  });

  it('gets its patience anew where nobody watched for a while', () => {
    const at = (elapsedMs: number): ConvergenceSample =>
      sample({ elapsedMs, memoryProcessedBytes: elapsedMs, dirtyBytesPerSecond: 60 * mebibyte });
    const before = nextConvergenceStep(beginConvergence(strict), at(1_000), strict).state;
    const seen = at(60_000);
    expect(nextConvergenceStep(before, seen, strict).act).toBe('give-up');
    expect(nextConvergenceStep(countAnew(before, seen), seen, strict).act).toBe('wait');
  });

  it('is left alone in post-copy, whatever it shows', () => {
    const all = { ...strict, allowPostCopy: true };
    let state = beginConvergence(all);
    for (let elapsedMs = 0; elapsedMs < 200_000; elapsedMs += 5_000) {
      const step = nextConvergenceStep(state, sample({ elapsedMs, inPostCopy: true }), all);
      expect(step.act).toBe('wait');
      ({ state } = step);
    }
  });
});

describe('whatever the guest and the plan', () => {
  const options = fc.record({
    maxDowntimeMs: fc.integer({ min: 1, max: 2_000 }),
    quicklyFinish: fc.boolean(),
    highestDowntimeMs: fc.integer({ min: 1, max: 30_000 }),
    allowAutoConverge: fc.boolean(),
    allowPostCopy: fc.boolean(),
    allowPause: fc.boolean(),
    patienceMs: fc.integer({ min: 1_000, max: 60_000 }),
  });
  const order: string[] = Object.values(ConvergenceAct);

  it('never climbs down, and takes no rung that the plan does not allow', () => {
    const sampleOfAnyKind = fc.record({
      elapsedMs: fc.integer({ min: 100, max: 20_000 }),
      iteration: fc.nat(5),
      memoryProcessedBytes: fc.nat(1e9),
      memoryRemainingBytes: fc.nat(1e9),
      bytesPerSecond: fc.nat(1e8),
      dirtyBytesPerSecond: fc.nat(1e8),
      diskProcessedBytes: fc.nat(1e9),
      diskRemainingBytes: fc.nat(10),
      throttlePercent: fc.nat(99),
      inPostCopy: fc.boolean(),
    });
    fc.assert(
      fc.property(options, fc.array(sampleOfAnyKind, { maxLength: 60 }), (plan, samples) => {
        let state = beginConvergence(plan);
        let now = 0;
        let highest = 0;
        const taken: string[] = [];
        for (const each of samples) {
          now += each.elapsedMs;
          const step = nextConvergenceStep(state, { ...each, elapsedMs: now }, plan);
          if (step.act !== 'wait') {
            expect(order.indexOf(step.act)).toBeGreaterThanOrEqual(highest);
            highest = order.indexOf(step.act);
            taken.push(step.act);
          }
          expect(step.state.downtimeMs).toBeGreaterThanOrEqual(state.downtimeMs);
          ({ state } = step);
        }
        const once = taken.filter((act) => act !== 'raise-downtime');
        expect(new Set(once).size).toBe(once.length);
        if (!plan.quicklyFinish) expect(taken).not.toContain('raise-downtime');
        if (!plan.allowAutoConverge) expect(taken).not.toContain('throttle');
        if (!plan.allowPostCopy) expect(taken).not.toContain('post-copy');
        if (!plan.allowPause) expect(taken).not.toContain('pause');
        expect(state.downtimeMs).toBeLessThanOrEqual(
          Math.max(plan.maxDowntimeMs, plan.highestDowntimeMs),
        );
      }),
      { numRuns: 300 },
    );
  });

  const world = fc
    .record({
      memory: fc.integer({ min: 10, max: 4_000 }),
      rate: fc.integer({ min: 0, max: 200 }),
      dirty: fc.integer({ min: 0, max: 400 }),
      workingSet: fc.integer({ min: 0, max: 2_000 }),
    })
    // No guest writes to more than it has.
    .map((guest) => ({ ...guest, workingSet: Math.min(guest.workingSet, guest.memory) }));

  it('comes to an end within the time of sixty passes: it converges, goes to post-copy or is given up', () => {
    fc.assert(
      fc.property(world, options, (guest, plan) => {
        // In passes, not in hours: a slow link takes more than an hour for each. QEMU slows a guest down over 20 of them,
        // and if 19 of 20 bytes that cross are then changed anew, the rest takes as long as 20 more.
        const stepMs = 5_000;
        const passMs = (guest.memory / Math.max(1, guest.rate)) * 1000 + stepMs;
        const limitMs = 60 * (passMs + plan.patienceMs);
        const played = play(guest, plan, { limitMs, stepMs });
        expect(played.end).not.toBe('endless');
      }),
      { numRuns: 100 },
    );
  });

  it('leaves a run alone that crosses at twice the rate at which the guest changes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 1_000 }),
        fc.integer({ min: 20, max: 200 }),
        options,
        (memory, rate, plan) => {
          const patient = { ...plan, patienceMs: 30_000, maxDowntimeMs: 300 };
          const guest = { memory, rate, dirty: rate / 2, workingSet: memory };
          const played = play(guest, patient, { stepMs: 50 });
          expect(played).toEqual({ acts: [], end: 'converged' });
        },
      ),
      { numRuns: 50 },
    );
  });
});
