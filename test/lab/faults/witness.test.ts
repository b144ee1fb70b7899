import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { Witness } from '../witness.ts';

/** A process that looks like one of QEMU's and does nothing; it says when it is there. */
async function play(program: string, ...more: string[]): Promise<ChildProcess> {
  const idle = 'console.log("up"); setTimeout(() => {}, 60_000)';
  const child = spawn(process.execPath, ['-e', idle, '--', ...more], {
    argv0: program,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

it('tells two copies from one that moved, and a doubled export from one', async () => {
  const uuid = randomUUID();
  const name = `vmferry:${uuid}:vda`;
  const moved = Witness.watch(uuid);
  const first = await play('/usr/bin/qemu-system-x86_64', '-uuid', uuid);
  await end(first);
  const second = await play('/usr/bin/qemu-system-x86_64', '-uuid', uuid);
  const server = await play('qemu-nbd', '-x', name);
  const one = moved.end();
  expect(one.mostRunning).toBe(1);
  expect(one.runningNow.map(({ pid }) => pid)).toEqual([second.pid]);
  expect(one.exports.get(name)).toBe(1);

  const doubled = Witness.watch(uuid);
  const third = await play('/usr/bin/qemu-system-x86_64', '-uuid', uuid);
  const twin = await play('qemu-nbd', '-x', name);
  const stranger = await play('/usr/bin/qemu-system-x86_64', '-uuid', randomUUID());
  const two = doubled.end();
  expect(two.mostRunning).toBe(2);
  expect(two.whenMost.map(({ pid }) => pid).sort()).toEqual([second.pid, third.pid].sort());
  expect(two.exports.get(name)).toBe(2);
  for (const child of [second, server, third, twin, stranger]) await end(child);
});
