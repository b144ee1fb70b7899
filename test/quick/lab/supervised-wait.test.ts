import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Supervised } from '../../../lab/supervised.ts';
import { waitFor } from '../../../lab/supervised-wait.ts';

const run = (script: string, restart = false): Supervised => {
  const process = new Supervised({
    name: 'server',
    logPath: join(mkdtempSync(join(tmpdir(), 'vmferry-wait-')), 'log'),
    restart,
    launch: (output) => spawn('sh', ['-c', script], { stdio: ['ignore', output, output] }),
  });
  onTestFinished(() => process.stop());
  process.start();
  return process;
};
const never = () => Promise.resolve(false);

it('tells at once, with its last words, of a process that has ended for good', async () => {
  const wait = waitFor(run('echo address already in use; exit 1'), never, {
    what: 'it',
    timeoutMs: 60_000,
  });
  await expect(wait).rejects.toMatchObject({
    code: 'lab-timeout',
    message: expect.stringMatching(
      /server does not run, started 1 times[^]*address already in use/,
    ) as string,
  });
});

it('waits for one that is started again, until the time is up', async () => {
  const other = run('echo on port 7; exec sleep 60');
  const wait = waitFor(run('echo not yet; exit 1', true), never, {
    what: 'it',
    timeoutMs: 1_000,
    beside: [other],
  });
  await expect(wait).rejects.toThrow(/not yet[^]*server runs, started 1 times[^]*on port 7/);
});
