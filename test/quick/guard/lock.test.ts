import { AsyncLocalStorage } from 'node:async_hooks';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { tryFlock } from '../../../protocols/posix/flock.ts';
import { withVmLock } from '../../../guard/lock.ts';
import { ledgerIn, stateFolder, to } from './state-folder.ts';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

const holdLock = fileURLToPath(import.meta.resolve('./hold-lock.ts'));
const countUnderLock = fileURLToPath(import.meta.resolve('./count-under-lock.ts'));
const changeLedger = fileURLToPath(import.meta.resolve('./change-ledger.ts'));

/** Runs a function where no lock of the test counts as held, as another piece of work of the worker does. */
const outside = AsyncLocalStorage.snapshot();

const launch = (program: string, ...args: string[]): ChildProcess => {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  return child;
};

const start = (script: string, ...args: string[]): ChildProcess =>
  launch(process.execPath, script, ...args);

const statusOf = async (child: ChildProcess): Promise<number | null> => {
  await once(child, 'close');
  return child.exitCode;
};

describe('withVmLock', () => {
  it('lets one piece of work at a VM run at a time, in the order of asking', async () => {
    const stateDir = stateFolder();
    const uuid = randomUUID();
    const seen: string[] = [];
    await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        withVmLock({ stateDir, uuid, timeoutMs: 5000 }, async () => {
          seen.push(`${name} in`);
          await new Promise(setImmediate);
          seen.push(`${name} out`);
        }),
      ),
    );
    expect(seen).toEqual(['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
  });

  it('does not wait for itself', async () => {
    const lock = { stateDir: stateFolder(), uuid: randomUUID(), timeoutMs: 2000 };
    const inner = await withVmLock(lock, () => withVmLock(lock, () => Promise.resolve('through')));
    expect(inner).toBe('through');
  });

  it('does not let work through that was left behind by a holder', async () => {
    const lock = { stateDir: stateFolder(), uuid: randomUUID(), timeoutMs: 100 };
    const { promise: opened, resolve: open } = Promise.withResolvers<undefined>();
    let late: Promise<string> | undefined;
    await withVmLock(lock, () => {
      late = opened.then(() => withVmLock(lock, () => Promise.resolve('both at once')));
      return Promise.resolve();
    });
    await withVmLock(lock, async () => {
      open(undefined);
      await expect(late).rejects.toMatchObject({ code: 'vm-locked' });
    });
  });

  it('frees the lock when the work fails', async () => {
    const lock = { stateDir: stateFolder(), uuid: randomUUID(), timeoutMs: 2000 };
    await expect(withVmLock(lock, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await withVmLock(lock, () => Promise.resolve(1))).toBe(1);
  });

  it('names the process and its work when the time is up, and gets the lock once that process is killed', async () => {
    const stateDir = stateFolder();
    const uuid = randomUUID();
    const holder = start(holdLock, stateDir, uuid);
    await once(holder.stdout!, 'data');
    const refused = withVmLock({ stateDir, uuid, timeoutMs: 80, host: 'alpha' }, () =>
      Promise.resolve(),
    );
    await expect(refused).rejects.toMatchObject({
      code: 'vm-locked',
      handling: 'transient',
      host: 'alpha',
      message: expect.stringContaining(`process ${holder.pid} (cut over web)`) as string,
    });
    const waiting = withVmLock({ stateDir, uuid, timeoutMs: 5000 }, () => Promise.resolve('mine'));
    holder.kill('SIGKILL');
    expect(await waiting).toBe('mine');
  });

  it('lets several processes at it one after the other', async () => {
    const stateDir = stateFolder();
    const file = join(stateDir, 'count');
    await writeFile(file, '0');
    const uuid = randomUUID();
    const counters = [1, 2, 3].map(() => start(countUnderLock, stateDir, uuid, file, '20'));
    expect(await Promise.all(counters.map(statusOf))).toEqual([0, 0, 0]);
    expect(await readFile(file, 'utf8')).toBe('60');
  });

  it('shuts an older version out, which has the program `flock` take its lock, and is shut out by it', async () => {
    const stateDir = stateFolder();
    const uuid = randomUUID();
    const lock = { stateDir, uuid, timeoutMs: 80 };
    const file = join(stateDir, 'locks', uuid);
    const oldTry = (): Promise<number | null> =>
      statusOf(launch('flock', '-x', '-n', '-E', '75', file, 'true'));
    expect(await withVmLock(lock, oldTry)).toBe(75);
    expect(await oldTry()).toBe(0);

    const holder = launch('flock', '-x', '-F', file, 'sh', '-c', 'echo held; exec sleep 60');
    await once(holder.stdout!, 'data');
    await expect(withVmLock(lock, () => Promise.resolve())).rejects.toMatchObject({
      code: 'vm-locked',
    });
    const waiting = withVmLock({ ...lock, timeoutMs: 5000 }, () => Promise.resolve('mine'));
    holder.kill('SIGKILL');
    expect(await waiting).toBe('mine');
  });

  it('says why where a file cannot be locked at all', async () => {
    await expect(tryFlock(1_000_000)).rejects.toThrow('EBADF');
  });

  it('ends the wait for another process when called off', async () => {
    const stateDir = stateFolder();
    const uuid = randomUUID();
    const holder = start(holdLock, stateDir, uuid);
    await once(holder.stdout!, 'data');
    const called = new AbortController();
    const options = { stateDir, uuid, timeoutMs: 60_000, signal: called.signal };
    const waiting = withVmLock(options, () => Promise.resolve());
    setTimeout(() => called.abort(), 50);
    await expect(waiting).rejects.toMatchObject({ handling: 'cancelled' });
  });

  it('ends the wait when called off', async () => {
    const lock = { stateDir: stateFolder(), uuid: randomUUID(), timeoutMs: 60_000 };
    const called = new AbortController();
    await withVmLock(lock, async () => {
      const waiting = outside(() =>
        withVmLock({ ...lock, signal: called.signal }, () => Promise.resolve()),
      );
      called.abort();
      await expect(waiting).rejects.toMatchObject({ handling: 'cancelled' });
    });
  });

  it('refuses what is not a UUID before it touches a file', async () => {
    const lock = { stateDir: stateFolder(), uuid: '../../x', timeoutMs: 100 };
    await expect(withVmLock(lock, () => Promise.resolve())).rejects.toMatchObject({
      code: 'uuid-invalid',
    });
  });
});

describe('changes of the ledger from several processes', () => {
  it('let exactly one of two moves have the VM', async () => {
    const stateDir = stateFolder();
    const uuid = randomUUID();
    await ledgerIn(stateDir).transition(uuid, to('released', { migrationId: '' }));
    const answers = await Promise.all(
      ['move-a', 'move-b', 'move-c'].map(async (move) => {
        const chunks: Buffer[] = [];
        const child = start(changeLedger, stateDir, uuid, move);
        child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk));
        await once(child, 'close');
        return Buffer.concat(chunks).toString();
      }),
    );
    expect(answers.sort()).toEqual(['ownership-conflict', 'ownership-conflict', 'won']);
  });
});
