import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { Ledger } from '../../../guard/ledger.ts';
import type { TransitionRequest } from '../../../guard/ledger.ts';

/** A state folder that is removed after the test. */
export function stateFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'vmferry-guard-'));
  folders.push(path);
  return path;
}

const folders: string[] = [];
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

export const ledgerIn = (stateDir: string): Ledger => new Ledger({ stateDir, host: 'alpha' });

/** A request that says only what the test is about. */
export const to = (
  state: TransitionRequest['to'],
  rest: Partial<TransitionRequest> = {},
): TransitionRequest => ({
  to: state,
  epoch: 1,
  migrationId: 'move-1',
  name: 'web',
  note: '',
  ...rest,
});
