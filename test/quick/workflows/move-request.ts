import { moveDefaults } from '../../../domain/move.ts';
import type { MoveRequest } from '../../../domain/move.ts';
import { vm } from './fake-hosts.ts';

/** What a played move is asked for: it commits by itself, and waits for no shutdown. */
export const request = (changes: Partial<MoveRequest> = {}): MoveRequest => ({
  ...moveDefaults,
  ...{ vm: vm.name, from: 'alpha', to: 'beta', operator: 'test' },
  ...{ shutdownTimeoutMs: 1000, autoCommit: true },
  ...changes,
});
