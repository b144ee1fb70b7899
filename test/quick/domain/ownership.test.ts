import { describe, expect, it } from 'vitest';
import { assertTransition, OwnerState } from '../../../domain/ownership.ts';
import type { LedgerEntry } from '../../../domain/ownership.ts';

const entry = (state: OwnerState): LedgerEntry => ({
  uuid: 'u',
  name: 'web',
  epoch: 3,
  state,
  migrationId: 'move-1',
  note: '',
  disks: [],
});

const codeOf = (
  from: OwnerState,
  to: OwnerState,
  epoch: number,
  migrationId = 'move-1',
): string => {
  try {
    assertTransition(entry(from), { uuid: 'u', host: 'alpha', to, epoch, migrationId });
    return 'allowed';
  } catch (error) {
    expect(error).toMatchObject({ handling: 'unsafe', host: 'alpha' });
    return (error as { code: string }).code;
  }
};
const states = Object.values(OwnerState);

describe('the ledger', () => {
  it('takes any first state', () => {
    for (const to of states) {
      const next = { uuid: 'u', host: 'alpha', to, epoch: 0, migrationId: '' };
      expect(() => assertTransition(undefined, next)).not.toThrow();
    }
  });

  it('refuses every step of an older epoch', () => {
    for (const from of states)
      for (const to of states) expect(codeOf(from, to, 2)).toBe('stale-epoch');
  });

  it('lets a host become owner after another was only with a newer epoch', () => {
    for (const from of ['released', 'incoming'] as const) {
      expect(codeOf(from, 'owner', 3)).toBe('ownership-conflict');
      expect(codeOf(from, 'owner', 4)).toBe('allowed');
    }
  });

  it('lets a move away be undone within its epoch', () => {
    expect(codeOf('owner', 'migrating-out', 3)).toBe('allowed');
    expect(codeOf('migrating-out', 'owner', 3)).toBe('allowed');
    expect(codeOf('migrating-out', 'released', 3)).toBe('allowed');
  });

  it('keeps a move under way from every other move, whatever its epoch', () => {
    for (const from of ['migrating-out', 'incoming'] as const)
      for (const to of states) expect(codeOf(from, to, 9, 'move-2')).toBe('ownership-conflict');
    expect(codeOf('owner', 'migrating-out', 3, 'move-2')).toBe('allowed');
  });

  it('never takes in a VM that this host owns or is giving away, nor gives away one that it has not', () => {
    for (const from of ['owner', 'migrating-out'] as const)
      expect(codeOf(from, 'incoming', 9)).toBe('ownership-conflict');
    for (const from of ['released', 'incoming', 'quarantined'] as const)
      expect(codeOf(from, 'migrating-out', 9)).toBe('ownership-conflict');
  });
});
