import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { endLabelled, labelledProcesses, runLabelled } from '../../../convert/labelled-process.ts';
import type { LabelledRun } from '../../../convert/labelled-process.ts';

const env = { PATH: process.env['PATH'] ?? '' };
let number = 0;
const newId = (): string => `run-${process.pid}-${(number += 1)}`;
const shell = (id: string, script: string, more: Partial<LabelledRun> = {}) =>
  runLabelled({ id, program: 'sh', args: ['-c', script], env, cwd: '/', limitMs: 20_000, ...more });
/** A process in a session of its own, as a daemon is. */
const daemon = 'setsid sleep 300 >/dev/null 2>&1 &';

describe('a labelled program', () => {
  it('gives its status and both of its streams, and sees its input and nothing of our environment', async () => {
    let [out, err] = ['', ''];
    const onOutput = (text: string, stream: string) => {
      if (stream === 'stdout') out += text;
      else err += text;
    };
    const script = 'cat; echo "[$HOME]"; echo bad >&2; exit 3';
    const end = await shell(newId(), script, { onOutput, input: 'in' });
    expect(end).toEqual({ status: 3, missing: false, timedOut: false });
    expect([out, err]).toEqual(['in[]\n', 'bad\n']);
  });

  it('takes along what it left in the background', async () => {
    const id = newId();
    expect((await shell(id, daemon)).status).toBe(0);
    expect(await labelledProcesses(id)).toEqual([]);
  });

  it('is ended with all that it started once its time is over', async () => {
    const id = newId();
    const end = await shell(id, `${daemon} wait; sleep 300`, { limitMs: 300 });
    expect(end.timedOut).toBe(true);
    expect(await labelledProcesses(id)).toEqual([]);
  });

  it('is ended even if it does not listen, and the reason of the cancel is given on', async () => {
    const id = newId();
    const stop = new AbortController();
    const onOutput = () => stop.abort(new Error('no more'));
    const deaf = 'trap "" TERM; echo ready; while :; do sleep 300; done';
    const run = shell(id, deaf, { signal: stop.signal, onOutput, termMs: 200 });
    await expect(run).rejects.toThrow('no more');
    expect(await labelledProcesses(id)).toEqual([]);
  });

  it('that is not there is missing', async () => {
    const end = await runLabelled({
      ...{ id: newId(), program: '/nonexistent/program', args: [], env, cwd: '/', limitMs: 5_000 },
    });
    expect(end).toEqual({ status: null, missing: true, timedOut: false });
  });

  it('is not started with a name that is none', async () => {
    await expect(shell('a/../b', 'true')).rejects.toMatchObject({ code: 'conversion-id-invalid' });
  });
});

describe('what a killed worker left', () => {
  it('is found and ended by its label, and no other', async () => {
    const [id, other] = [newId(), newId()];
    const start = (label: string) =>
      spawn('sleep', ['300'], { detached: true, env: { ...env, VMFERRY_CONVERSION: label } });
    const [left, neighbour] = [start(id), start(other)];
    const gone = once(left, 'exit');
    await Promise.all([once(left, 'spawn'), once(neighbour, 'spawn')]);
    await endLabelled(id);
    await gone;
    expect(await labelledProcesses(other)).toEqual([neighbour.pid]);
    await endLabelled(other);
  });
});
