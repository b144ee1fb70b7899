/** A lab ends with the process that made it, though that had no time to end anything: a killed test run leaves nothing. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, it } from 'vitest';
import { Lab } from '../../../lab/lab.ts';
import { identify, isAlive, namedNetworkNamespace } from '../../../lab/processes.ts';
import type { ProcessId } from '../../../lab/processes.ts';
import { traces } from '../traces.ts';

/** From the owner's death until nothing of its lab is left; a few seconds where the machine has nothing else to do. */
const endMs = 60_000;

interface Owned {
  dir: string;
  labDir: string;
  namespaces: number[];
  pids: number[];
}

const owners: ChildProcess[] = [];
afterAll(() => {
  for (const owner of owners) owner.kill('SIGKILL');
});

/** A process in a group of its own, as a shell gives one to `npm test`. */
function own(args: readonly string[]): { owner: ChildProcess; lines: AsyncIterable<string> } {
  const owner = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  owners.push(owner);
  return { owner, lines: createInterface(owner.stdout) };
}

async function firstLine(lines: AsyncIterable<string>, beginning: string): Promise<string> {
  for await (const line of lines) if (line.startsWith(beginning)) return line;
  throw new Error('the owner ended before it had a lab');
}

const strikes = {
  'kill -9': (owner: ChildProcess) => process.kill(owner.pid!, 'SIGKILL'),
  'Ctrl-C, which its whole group gets': (owner: ChildProcess) =>
    process.kill(-owner.pid!, 'SIGINT'),
};

it.concurrent.for(Object.entries(strikes))(
  'a whole stage is gone after %s',
  async ([words, strike], { expect }) => {
    const name = `o${process.pid}${words.at(0)?.toLowerCase()}`;
    const { owner, lines } = own([join(import.meta.dirname, 'owner-process.ts'), name]);
    const { dir, labDir, namespaces, pids } = JSON.parse(await firstLine(lines, '{')) as Owned;
    const living = pids.map((pid) => identify(pid)).filter((found) => found !== undefined);
    expect(living).toHaveLength(8);
    // Two storages of hosts, and the shared device twice.
    const before = await traces(name, labDir, namespaces);
    expect(before.filter((trace) => trace.startsWith('loop'))).toHaveLength(4);
    expect(before.length).toBeGreaterThan(15);

    const gone = once(owner, 'exit');
    strike(owner);
    await gone;
    const left = async (): Promise<(string | ProcessId)[]> => [
      ...(await traces(name, labDir, [])),
      ...living.filter(isAlive),
      ...(existsSync(dir) ? [dir] : []),
    ];
    await expect.poll(left, { timeout: endMs }).toEqual([]);
  },
);

it('a lab that was only half made is gone too, and its place is free at once', async () => {
  const root = await mkdtemp(join(tmpdir(), 'vmferry-owner-'));
  const name = `o${process.pid}h`;
  const options = { dir: join(root, 'lab'), name, poolBytes: 64 * 1024 * 1024 };
  const { owner, lines } = own([
    ...['--input-type=module', '-e'],
    `import { Lab } from ${JSON.stringify(join(import.meta.dirname, '../../../lab/lab.ts'))};
     await Lab.up({ ...${JSON.stringify(options)}, onStep: console.log });`,
  ]);
  await firstLine(lines, 'switch');
  await expect.poll(() => namedNetworkNamespace(`${name}-beta`), { timeout: 20_000 }).toBeDefined();
  const gone = once(owner, 'exit');
  process.kill(owner.pid!, 'SIGKILL');
  await gone;
  const next = await Lab.up(options);
  expect((await next.host('alpha').exec(['hostname'], { timeoutMs: 20_000 })).stdout).toBe('alpha');
  await next.down();
  expect(await traces(name, options.dir, [])).toEqual([]);
  await rm(root, { recursive: true });
});
