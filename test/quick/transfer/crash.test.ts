import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyDisk } from '../../../transfer/copy.ts';
import { Journal, type JournalHeader } from '../../../transfer/journal.ts';
import {
  ForgetfulFile,
  Fuse,
  forgetfulSink,
  forgetfulStorage,
  memorySource,
  seededDice,
  sparseContent,
} from './forgetful.ts';

const grain = 512;
const chunkBytes = 1024;
const limits = { flushBytes: 8 * 1024, flushAfterMs: 5, windowBytes: 24 * 1024 };

const headerFor = (sizeBytes: number, fingerprint = 'one'): JournalHeader => ({
  moveId: 'm',
  diskName: 'vda',
  sizeBytes,
  fingerprint,
  chunkBytes,
});

interface Machine {
  content: Buffer;
  target: ForgetfulFile;
  journalFile: ForgetfulFile;
}

/** One life of the process: opens the journal, copies until the fuse blows or all is done. */
const live = async (machine: Machine, fuse: Fuse, fresh: boolean, fingerprint?: string) => {
  const { content, target, journalFile } = machine;
  const sink = forgetfulSink(target, fuse, fresh);
  const journal = await Journal.open({
    path: '/the/journal',
    header: headerFor(content.length, fingerprint),
    targetStartsZeroed: sink.startsZeroed,
    storage: forgetfulStorage(journalFile, fuse),
  });
  for (const { offset, length } of journal.safe) {
    const there = target.content.subarray(offset, offset + length);
    expect(there.equals(content.subarray(offset, offset + length))).toBe(true);
  }
  const result = await copyDisk({
    source: memorySource(content, grain),
    sink,
    journal,
    maxInFlight: 4,
    limits,
  });
  return { journal, result };
};

const lives = fc.record({
  seed: fc.nat(),
  kilobytes: fc.integer({ min: 1, max: 96 }),
  stale: fc.boolean(),
  fuses: fc.array(fc.integer({ min: 0, max: 120 }), { minLength: 1, maxLength: 4 }),
  power: fc.boolean(),
});

describe('a copy whose machine dies again and again', () => {
  it('ends byte-identical, trusts nothing that was lost, and asks twice for less than its window', async () => {
    let interrupted = 0;
    const property = fc.asyncProperty(lives, async ({ seed, kilobytes, stale, fuses, power }) => {
      const dice = seededDice(seed);
      const size = kilobytes * 1024 + Math.floor(dice() * 700);
      const content = sparseContent(size, grain, dice);
      const machine = {
        content,
        target: new ForgetfulFile(stale ? sparseContent(size, grain, dice) : Buffer.alloc(size)),
        journalFile: new ForgetfulFile(),
      };
      let atStake = 0;
      for (const operations of fuses) {
        const fuse = new Fuse(operations);
        const ended = await live(machine, fuse, !stale).then(
          () => 'done',
          () => (fuse.blown ? 'cut' : 'failed'),
        );
        expect(ended).not.toBe('failed');
        if (ended === 'cut') interrupted++;
        // A killed process leaves the page cache behind, a dead machine does not.
        if (power) {
          machine.target.crash(dice);
          machine.journalFile.crash(dice);
        }
        atStake += limits.windowBytes;
      }
      const { journal, result } = await live(machine, new Fuse(Infinity), !stale);
      expect(machine.target.content.equals(content)).toBe(true);
      expect(result.bytesRecopied).toBeLessThanOrEqual(atStake);
      expect(journal.askedAgainBytes).toBeLessThanOrEqual(atStake);
      expect(result.bytesCopied + result.resumedBytes).toBe(result.totalDataBytes);
      // Nothing of what is called safe depends on luck any more.
      machine.target.crash(() => 0);
      machine.journalFile.crash(() => 0);
      const again = await live(machine, new Fuse(Infinity), !stale);
      expect(again.result).toMatchObject({ bytesCopied: 0, resumedBytes: result.totalDataBytes });
      expect(machine.target.content.equals(content)).toBe(true);
    });
    await fc.assert(property, { numRuns: 80 });
    expect(interrupted).toBeGreaterThan(20);
  });

  it('starts over when the source has changed, and leaves nothing of the old content', async () => {
    const property = fc.asyncProperty(fc.nat(), fc.nat(60), async (seed, operations) => {
      const dice = seededDice(seed);
      const size = 40 * 1024;
      const target = new ForgetfulFile(Buffer.alloc(size));
      const machine = {
        content: sparseContent(size, grain, dice),
        target,
        journalFile: new ForgetfulFile(),
      };
      const before = new Fuse(20 + operations);
      await live(machine, before, true).catch(() => undefined);
      machine.content = sparseContent(size, grain, dice);
      // Dies once more amid the change-over.
      await live(machine, new Fuse(operations), true, 'two').catch(() => undefined);
      machine.target.crash(dice);
      machine.journalFile.crash(dice);
      await live(machine, new Fuse(Infinity), false, 'two');
      expect(target.content.equals(machine.content)).toBe(true);
    });
    await fc.assert(property, { numRuns: 30 });
  });
});
