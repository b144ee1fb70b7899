import { describe, expect, it } from 'vitest';
import { judgeVersion } from '../../../workers/deployment.ts';
import type { DeploymentState } from '../../../workers/deployment.ts';

const own = 'b';
const state = (changes: Partial<DeploymentState>): DeploymentState => ({
  current: 'a',
  currentAlive: true,
  versions: [
    { buildId: 'a', wasCurrent: true },
    { buildId: own, wasCurrent: false },
  ],
  ...changes,
});
const replaced = [
  { buildId: 'a', wasCurrent: true },
  { buildId: own, wasCurrent: true },
];

describe('a version of the control worker', () => {
  it.each([
    { name: 'that is current stays so', changes: { current: own }, verdict: 'is-current' },
    {
      name: 'waits until the server knows it',
      changes: { versions: [] },
      verdict: 'not-known-yet',
    },
    { name: 'is taken where there is none', changes: { current: '' }, verdict: 'first' },
    { name: 'that is new takes over', changes: {}, verdict: 'newer' },
    {
      name: 'that was replaced does not turn the upgrade back',
      changes: { versions: replaced },
      verdict: 'was-replaced',
    },
    {
      name: 'that was replaced serves where the other one is gone',
      changes: { versions: replaced, currentAlive: false },
      verdict: 'sole',
    },
  ])('$name', ({ changes, verdict }) => {
    expect(judgeVersion(state(changes), own)).toBe(verdict);
  });
});
