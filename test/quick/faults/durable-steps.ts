/** Durable writes are steps too: a process may die before one, or after it before anything else. */
import type * as Durable from '../../../guard/durable.ts';
import { step } from './attempt.ts';

export const withSteps = (actual: typeof Durable): typeof Durable => ({
  ...actual,
  async replaceDurably(...args) {
    await step();
    await actual.replaceDurably(...args);
    await step();
  },
});
