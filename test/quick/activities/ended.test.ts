import { mkdtemp, readFile, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { forgetLongEnded, markEnded, refuseIfEnded } from '../../../activities/ended.ts';
import type { HostParts } from '../../../activities/parts.ts';

let stateDir: string;
let parts: HostParts;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-ended-'));
  parts = { stateDir, name: 'alpha' } as HostParts;
});
afterEach(() => rm(stateDir, { recursive: true, force: true }));

const ref = (migrationId: string) => ({ moveId: 'm', migrationId, vm: { name: 'web', uuid: 'u' } });

it('a move that ended is refused by name and host, another one is not', async () => {
  await markEnded(parts, ref('one'));
  await markEnded(parts, ref('one'));
  await expect(refuseIfEnded(parts, ref('one'))).rejects.toMatchObject({
    code: 'move-ended',
    host: 'alpha',
    message: expect.stringContaining('web') as string,
  });
  await refuseIfEnded(parts, ref('two'));
});

it('an ID that leads out of the folder writes nothing and is not looked for', async () => {
  const victim = join(stateDir, 'ledger');
  await writeFile(victim, 'kept');
  await expect(markEnded(parts, ref('../ledger'))).rejects.toThrow('not a migration ID');
  await expect(refuseIfEnded(parts, ref('../ledger'))).rejects.toThrow('not a migration ID');
  expect(await readFile(victim, 'utf8')).toBe('kept');
});

it('marks are kept for two months, and a host without any has nothing to forget', async () => {
  await forgetLongEnded(parts);
  await markEnded(parts, ref('old'));
  await markEnded(parts, ref('new'));
  const longAgo = Date.now() / 1000 - 61 * 24 * 3600;
  await utimes(join(stateDir, 'ended/old'), longAgo, longAgo);
  await forgetLongEnded(parts);
  expect(await readdir(join(stateDir, 'ended'))).toEqual(['new']);
});
