/** The choice of a socket, with plain listeners in the place of daemons. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConnectFailed, findSocket, socketCandidates } from '../../../protocols/libvirt/index.ts';

describe('the candidates', () => {
  const pathsOf = (query: Parameters<typeof socketCandidates>[0]): string[] =>
    socketCandidates(query).map(({ path }) => path);

  it("are the driver's own daemon, then libvirtd, at the place of the system", () => {
    expect(pathsOf({ uri: 'qemu:///system' })).toEqual([
      '/run/libvirt/virtqemud-sock',
      '/run/libvirt/libvirt-sock',
    ]);
    expect(pathsOf({ uri: 'storage:///system', readOnly: true })).toEqual([
      '/run/libvirt/virtstoraged-sock-ro',
      '/run/libvirt/libvirt-sock-ro',
    ]);
    expect(pathsOf({ uri: 'test:///default' })).toEqual(['/run/libvirt/libvirt-sock']);
  });

  it('of a session lie with the user and have no read-only twin', () => {
    const query = { uri: 'qemu:///session', sessionDir: '/run/user/7/libvirt', readOnly: true };
    expect(pathsOf(query)).toEqual([
      '/run/user/7/libvirt/virtqemud-sock',
      '/run/user/7/libvirt/libvirt-sock',
    ]);
  });

  it.each(['', 'qemu', 'qemu://kvm1/system', '/run/libvirt'])('%j has none', (uri) => {
    expect(() => socketCandidates({ uri })).toThrow(RangeError);
  });
});

describe('the choice', () => {
  let systemDir: string;
  const servers: Server[] = [];

  const listen = async (name: string): Promise<void> => {
    const server = createServer((socket) => socket.on('error', () => undefined).resume());
    servers.push(server);
    await once(server.listen(join(systemDir, name)), 'listening');
  };
  beforeEach(async () => {
    systemDir = await mkdtemp(join(tmpdir(), 'vmfu-'));
  });
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((each) => new Promise((done) => each.close(done))));
    await rm(systemDir, { recursive: true, force: true });
  });
  const find = () => findSocket({ uri: 'qemu:///system', systemDir });

  it('falls on the one that answers', async () => {
    await listen('libvirt-sock');
    expect(await find()).toMatchObject({ daemon: 'libvirtd' });
    await listen('virtqemud-sock');
    const found = { daemon: 'virtqemud', path: join(systemDir, 'virtqemud-sock') };
    expect(await find()).toEqual(found);
  });

  it('passes by a file that nobody listens at', async () => {
    await writeFile(join(systemDir, 'virtqemud-sock'), '');
    await listen('libvirt-sock');
    expect(await find()).toMatchObject({ daemon: 'libvirtd' });
  });

  it('is an error that names each place and what is wrong there', async () => {
    await writeFile(join(systemDir, 'virtqemud-sock'), '');
    const error: unknown = await find().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConnectFailed);
    expect((error as Error).message).toMatch(
      /virtqemud-sock or .*libvirt-sock: .*ECONNREFUSED.*ENOENT/,
    );
  });

  it('ends with the caller', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const query = { uri: 'qemu:///system', systemDir };
    await expect(findSocket(query, { signal })).rejects.toThrow('enough');
  });
});
