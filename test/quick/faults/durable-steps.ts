/** Durable writes are steps too: a process may die before one, or after it before anything else. */
import type * as Durable from '../../../guard/durable.ts';
import type * as JournalFile from '../../../transfer/journal-file.ts';
import { attempts, step } from './attempt.ts';

export const withSteps = (actual: typeof Durable): typeof Durable => ({
  ...actual,
  async replaceDurably(...args) {
    await step();
    await actual.replaceDurably(...args);
    await step();
  },
});

/** The kernel closes what a dead process had open, and with it goes the lock of its journal. */
export const closedByDeath = (actual: typeof JournalFile): typeof JournalFile => ({
  ...actual,
  async openJournalFile(path) {
    const storage = await actual.openJournalFile(path);
    attempts.getStore()?.onDeath.add(() => void storage.close());
    return storage;
  },
});
