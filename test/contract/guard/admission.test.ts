import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OwnerState } from '../../../domain/ownership.ts';
import { diskIdentity } from '../../../guard/identity.ts';
import { installHook, renderHook } from '../../../guard/install.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { GuardedHost, fileDisk, guestXml } from './guarded-host.ts';

let host: GuardedHost;
beforeAll(async () => {
  host = await GuardedHost.start();
  await installHook({ hooksDir: host.hooksDir, stateDir: host.stateDir });
  // libvirtd looks for hooks when it comes up.
  await host.daemon.killDaemon();
  await host.daemon.startDaemon();
});
afterAll(async () => host.stop());

const rounds = 30;
const move = { migrationId: 'move-1', epoch: 1 };
const carrying = (xml: string, token: string): string =>
  xml.replace(
    '</uuid>',
    `</uuid><metadata><vmferry:vm xmlns:vmferry="urn:vmferry:domain:1"><vmferry:admit>${token}</vmferry:admit></vmferry:vm></metadata>`,
  );

describe('a token that somebody copied into a definition', () => {
  it('starts nothing while its move is on its way: by create, start, restore or autostart', async () => {
    const guest = { name: 'copied', uuid: randomUUID(), path: await host.disk('copied.raw') };
    const disks = [{ path: guest.path, identity: await diskIdentity(guest.path) }];
    const set = (to: OwnerState) =>
      host.ledger.transition(guest.uuid, {
        to,
        name: guest.name,
        note: 'from beta',
        disks,
        ...move,
      });
    const saved = join(host.dir, 'memory');
    await set('owner');
    const plain = guestXml(guest.name, guest.uuid, fileDisk(guest.path));
    await host.must('create', await host.file('plain.xml', plain));
    await host.must('save', guest.name, saved);
    await set('released');
    await set('incoming');
    const token = await host.ledger.admit(guest.uuid, move);
    const runs = await host.ledger.runCount(guest.uuid);
    const copy = await host.file('copied.xml', carrying(plain, token));

    const why = 'this start is no incoming migration';
    for (const way of [
      ['create', copy],
      ['restore', saved, '--xml', copy],
    ]) {
      expect(await host.virsh(...way)).toMatchObject({
        ok: false,
        words: expect.stringContaining(why) as string,
      });
    }
    await host.must('define', copy);
    expect(await host.virsh('start', guest.name)).toMatchObject({
      ok: false,
      words: expect.stringContaining(why) as string,
    });
    await host.must('autostart', guest.name);
    await host.daemon.killDaemon();
    await host.daemon.exec('rm', '/run/libvirt/qemu/autostarted');
    await host.daemon.startDaemon();
    await expect
      .poll(() => host.log(), { timeout: 20_000 })
      .toMatch(new RegExp(`autostart.*copied.*${why}`));
    expect(await host.state(guest.name)).toBe('shut off');
    expect(await host.ledger.runCount(guest.uuid)).toBe(runs);
    expect(await host.ledger.admission(guest.uuid, move)).toBe('open');
  });
});

/** Runs the hook as libvirt does, beside others; gives its exit status. */
async function ask(hook: string, operation: string, xml: string): Promise<number> {
  const child = spawn(hook, ['guest', operation, 'begin', '-'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(xml);
  const [status] = (await once(child, 'exit')) as [number];
  return status;
}

/** A ledger that awaits a VM, and a hook that reads it. `rm` stands for the program of that name. */
async function awaiting(name: string, rm?: string) {
  const stateDir = join(host.dir, name);
  const ledger = new Ledger({ stateDir, host: 'alpha' });
  const bin = join(stateDir, 'bin');
  await mkdir(bin, { recursive: true });
  if (rm !== undefined) await writeFile(join(bin, 'rm'), rm, { mode: 0o755 });
  const hook = join(stateDir, 'hook');
  await writeFile(hook, (await renderHook(stateDir)).replace(/^PATH=/m, `PATH=${bin}:`));
  await chmod(hook, 0o755);
  const uuid = randomUUID();
  await ledger.transition(uuid, { to: 'incoming', name, note: '', ...move });
  /** Gives a token, and lets the migration that carries it come to where libvirt asks for the start. */
  const coming = async (): Promise<string> => {
    const token = await ledger.admit(uuid, { ...move, again: true });
    const xml = carrying(guestXml(name, uuid, ''), token);
    expect(await ask(hook, 'migrate', xml)).toBe(0);
    return xml;
  };
  return { ledger, hook, uuid, coming };
}

describe('two starts at once with one token', () => {
  it('let at most one in, by the count alone', async () => {
    // The mark of the incoming migration stays, so that it cannot be what keeps the second one out.
    const { ledger, hook, uuid, coming } = await awaiting('race', '#!/bin/sh\n');
    const seen = { none: 0, one: 0, met: 0 };
    for (let round = 0; round < rounds; round++) {
      const xml = await coming();
      const before = await ledger.runCount(uuid);
      const statuses = await Promise.all([ask(hook, 'prepare', xml), ask(hook, 'prepare', xml)]);
      const allowed = statuses.filter((status) => status === 0).length;
      expect(allowed, `round ${round}`).toBeLessThanOrEqual(1);
      seen[allowed === 1 ? 'one' : 'none'] += 1;
      if ((await ledger.runCount(uuid)) - before === 2) seen.met += 1;
      expect(await ask(hook, 'prepare', xml)).toBe(1);
    }
    // Else the two never met, and this would have shown nothing.
    expect(seen.met, JSON.stringify(seen)).toBeGreaterThan(0);
  });
});

describe('a token that is withdrawn while a start uses it', () => {
  it('is not called unused if the start was allowed', async () => {
    const { ledger, hook, uuid, coming } = await awaiting('withdraw');
    const seen = new Map<string, number>();
    for (let round = 0; round < rounds; round++) {
      const xml = await coming();
      // Somewhere from before the hook's first look to after its last one.
      const pause = (round % 10) * 4;
      const [status, end] = await Promise.all([
        ask(hook, 'prepare', xml),
        delay(pause).then(() => ledger.withdraw(uuid, move)),
      ]);
      const what = `${status === 0 ? 'allowed' : 'refused'}, ${end}`;
      seen.set(what, (seen.get(what) ?? 0) + 1);
      expect(what, `round ${round}`).not.toBe('allowed, withdrawn');
      expect(await ask(hook, 'prepare', xml)).toBe(1);
    }
    // Else one of the two was always first, and this would have shown nothing.
    expect(seen.size, JSON.stringify([...seen])).toBeGreaterThan(1);
  });
});
