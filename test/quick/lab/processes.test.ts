import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import {
  identify,
  isAlive,
  namespaceOf,
  processesInNetwork,
  signalProcess,
} from '../../../lab/processes.ts';

describe('processes by identity', () => {
  it('signals exactly the process that was meant', async () => {
    const child = spawn('sleep', ['30']);
    const known = identify(child.pid!)!;
    expect(isAlive(known)).toBe(true);
    expect(signalProcess(known, 'SIGKILL')).toBe(true);
    await once(child, 'exit');
    expect(isAlive(known)).toBe(false);
    expect(signalProcess(known, 'SIGKILL')).toBe(false);
  });

  it('leaves a stranger with the same number alone', async () => {
    const child = spawn('sleep', ['30']);
    const stale = { pid: child.pid!, startTime: '1' };
    expect(isAlive(stale)).toBe(false);
    expect(signalProcess(stale, 'SIGKILL')).toBe(false);
    expect(isAlive(identify(child.pid!)!)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  it('never lists the processes of its own network, whatever inode it is given', () => {
    expect(processesInNetwork(namespaceOf('self', 'net')!)).toEqual([]);
    expect(processesInNetwork(1)).toEqual([]);
  });
});
