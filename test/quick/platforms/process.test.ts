import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { endProcess, isAlive, startTimeOf, within } from '../../../platforms/libvirt/process.ts';
import { faultOf } from '../../../platforms/libvirt/qemu-nbd.ts';
import { imageArguments } from '../../../platforms/libvirt/served-image.ts';
import { Records } from '../../../platforms/libvirt/records.ts';
import { listeningPorts, listensOnTcp } from '../../../platforms/libvirt/sockets.ts';

let dir: string;
beforeAll(async () => (dir = await mkdtemp(join(tmpdir(), 'vmferry-process-'))));
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A shell that ignores SIGTERM if told so, known by its last argument. */
async function start(mark: string, stubborn = false): Promise<ChildProcess & { pid: number }> {
  const script = `${stubborn ? `trap '' TERM; ` : ''}echo up; while :; do sleep 0.05; done`;
  const child = spawn('sh', ['-c', script, 'sh', mark], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  return child as unknown as ChildProcess & { pid: number };
}
const identityOf = (pid: number) => ({ pid, startTime: startTimeOf(pid)! });

describe('a process', () => {
  it('is known by PID, start time and argument, all three', async () => {
    const child = await start('mark-1');
    const identity = identityOf(child.pid);
    expect(await isAlive(identity, 'mark-1')).toBe(true);
    expect(await isAlive(identity, 'mark-2')).toBe(false);
    expect(await isAlive({ ...identity, startTime: '1' }, 'mark-1')).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await isAlive(identity, 'mark-1')).toBe(false);
  });

  it('is ended by SIGTERM, or by SIGKILL if it does not listen', async () => {
    for (const stubborn of [false, true]) {
      const child = await start('mark-3', stubborn);
      const exit = once(child, 'exit');
      const options = { argument: 'mark-3', host: 'alpha', termMs: 300 };
      await endProcess(identityOf(child.pid), options);
      expect((await exit)[1]).toBe(stubborn ? 'SIGKILL' : 'SIGTERM');
    }
  });

  it('is left alone if it is another one', async () => {
    const child = await start('mark-4');
    const identity = identityOf(child.pid);
    await endProcess(identity, { argument: 'other', host: 'alpha' });
    await endProcess({ ...identity, startTime: '7' }, { argument: 'mark-4', host: 'alpha' });
    expect(await isAlive(identity, 'mark-4')).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  it('is waited for within a limit, and no longer than the caller wants', async () => {
    expect(await within(60, () => Promise.resolve(false))).toBe(false);
    expect(await within(60, () => Promise.resolve(true))).toBe(true);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(within(10_000, () => Promise.resolve(false), signal)).rejects.toThrow('enough');
  });
});

describe('a listening socket', () => {
  it.each(['127.0.0.1', '::1'])('is found at %s, port and process', async (address) => {
    const server = createServer().listen(0, address);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    expect(await listensOnTcp(process.pid, { address, port })).toBe(true);
    expect(await listensOnTcp(process.pid, { address: '127.0.0.2', port })).toBe(false);
    expect(await listensOnTcp(process.ppid, { address, port })).toBe(false);
    expect(await listeningPorts()).toContain(port);
    server.close();
    await once(server, 'close');
    expect(await listensOnTcp(process.pid, { address, port })).toBe(false);
  });
});

describe('records', () => {
  const make = (folder: string) =>
    new Records({ folder: join(dir, folder), schema: z.object({ n: z.number() }) });

  it('come back as written, under any key, and go', async () => {
    const records = make('plain');
    const keys = ['a', 'migrate/lab/x:vda', '..', '../../escape', 'ä "\n'];
    for (const [n, key] of keys.entries()) await records.write(key, { n });
    expect(await Promise.all(keys.map(async (key) => records.read(key)))).toEqual(
      keys.map((_, n) => ({ n })),
    );
    expect((await readdir(join(dir, 'plain'))).length).toBe(keys.length);
    expect((await records.list()).map(({ n }) => n).sort()).toEqual([0, 1, 2, 3, 4]);
    for (const key of [...keys, 'never']) await records.remove(key);
    expect(await records.list()).toEqual([]);
    expect(await make('none').list()).toEqual([]);
  });

  it.each(['', '{', '{"n":', '{"n":"x"}', 'null'])(
    'that read %j count as not there',
    async (text) => {
      const records = make('torn');
      await records.write('k', { n: 1 });
      await writeFile(join(dir, 'torn', 'k.json'), text);
      expect(await records.read('k')).toBeUndefined();
      expect(await records.list()).toEqual([]);
    },
  );
});

describe('arguments for QEMU', () => {
  it('state the format and end the options before the path', () => {
    expect(imageArguments({ path: '/d/-x,y.img', format: 'raw' }, 'alpha')).toEqual([
      '--format=raw',
      '--',
      '/d/-x,y.img',
    ]);
  });

  it.each(['nbd://h/x', 'json:{}', 'rbd:p/i', 'x.img', '', '/a\0b'])(
    'refuse the path %j',
    (path) => {
      expect(() => imageArguments({ path, format: 'raw' }, 'alpha')).toThrow(/no absolute path/);
    },
  );

  it('read QEMU’s complaints', () => {
    const codeOf = (text: string): string => faultOf(text, { host: 'alpha', path: '/d' }).code;
    expect(codeOf(`Failed to get shared "write" lock Is another process using`)).toBe(
      'disk-in-use',
    );
    expect(codeOf('Failed to find an available port: Address already in use')).toBe('port-taken');
    expect(codeOf(`Failed to blk_new_open '/d': Could not open: No such file or directory`)).toBe(
      'disk-missing',
    );
    expect(codeOf('Unable to access credentials /c/ca-cert.pem: No such file or directory')).toBe(
      'source-tls-refused',
    );
  });
});
