/** Certificates that change while real qemu-nbd exports and our client use them, as in workers that are not restarted. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import type { DiskSource } from '../../../domain/platform.ts';
import { Authority } from '../../../pki/authority.ts';
import { migrationId, openFromBeta, readAll, TestFleet } from './fleet.ts';

/** Long enough that a loaded machine connects before they end. */
const shortSeconds = 15;
let fleet: TestFleet;
const open: DiskSource[] = [];
beforeAll(async () => {
  fleet = await TestFleet.make();
});
afterAll(() => fleet.close());
beforeEach(async () => {
  for (const host of ['alpha', 'beta']) await fleet.renew(host);
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((source) => source.close().catch(() => undefined)));
  await fleet.plane('alpha').closeExports(migrationId);
});

// Typed, because the matchers are `any` by nature.
const containing = (text: string): unknown => expect.stringContaining(text);
const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);

async function openDisk(): Promise<DiskSource> {
  const source = await openFromBeta(fleet);
  open.push(source);
  return source;
}

/** Until the certificate of a host has expired by this machine's clock. */
async function untilExpired(host: string): Promise<void> {
  const newest = (await fleet.authority.list()).find(({ name }) => name === host);
  if (newest === undefined) throw new Error(`no certificate of ${host}`);
  await delay(Math.max(0, newest.notAfter.getTime() - Date.now()) + 50);
}

it('a copy goes on while its certificates end; new connections wait for the renewal, and no worker is restarted', async () => {
  for (const host of ['alpha', 'beta']) await fleet.renew(host, shortSeconds);
  const before = await openDisk();
  for (const host of ['alpha', 'beta']) await untilExpired(host);
  expect((await readAll(before)).equals(fleet.content)).toBe(true);

  await expect(openDisk()).rejects.toMatchObject({
    code: 'certificate-expired',
    handling: 'needs-operator',
    host: 'beta',
    remedy: containing('vmferry pki renew beta'),
  });
  await fleet.renew('beta');
  await expect(openDisk()).rejects.toMatchObject({
    code: 'source-tls-refused',
    message: matching(/export of alpha .*expired/),
    host: 'beta',
  });
  await fleet.renew('alpha');
  const after = await openDisk();
  expect((await readAll(after)).equals(fleet.content)).toBe(true);
}, 90_000);

it('a renewal leaves a copy under way alone until the next attempt asks', async () => {
  const before = await openDisk();
  for (const host of ['alpha', 'beta']) await fleet.renew(host);
  expect((await readAll(before)).equals(fleet.content)).toBe(true);
  const after = await openDisk();
  expect((await readAll(after)).equals(fleet.content)).toBe(true);
});

it('an export is not started anew while the certificates stay the same', async () => {
  const first = await openDisk();
  await openDisk();
  expect((await readAll(first)).equals(fleet.content)).toBe(true);
});

it('a client of another authority is refused, and the error says where and what to do', async () => {
  const stranger = new Authority({ dir: join(fleet.dir, 'stranger'), keyBits: 2048 });
  await stranger.init({ force: true });
  onTestFinished(() => fleet.issue('beta'));
  await fleet.issue('beta', stranger);
  await expect(openDisk()).rejects.toMatchObject({
    code: 'source-tls-refused',
    handling: 'needs-operator',
    message: containing('the export of alpha'),
    remedy: containing('same fleet CA'),
    host: 'beta',
  });
  await fleet.issue('beta');
  expect((await readAll(await openDisk())).equals(fleet.content)).toBe(true);
});

it("an export of another authority is refused by the fleet's client", async () => {
  const stranger = new Authority({ dir: join(fleet.dir, 'stranger'), keyBits: 2048 });
  await stranger.init({ force: true });
  onTestFinished(() => fleet.issue('alpha'));
  await fleet.issue('alpha', stranger);
  await expect(openDisk()).rejects.toMatchObject({ code: 'source-tls-refused', host: 'beta' });
});

it('a revoked certificate is refused once the source has the list', async () => {
  const before = await openDisk();
  await before.close();
  await fleet.authority.revoke('beta', 'its key was copied');
  await fleet.renew('alpha');
  await expect(openDisk()).rejects.toMatchObject({ code: 'source-tls-refused', host: 'beta' });
  await fleet.issue('beta');
  expect((await readAll(await openDisk())).equals(fleet.content)).toBe(true);
});

it('a revoked export is refused by the client that has the list, which says so', async () => {
  onTestFinished(() => fleet.issue('alpha'));
  await fleet.authority.revoke('alpha', 'stolen');
  // The source itself need not know.
  await fleet.renew('beta');
  await expect(openDisk()).rejects.toMatchObject({
    code: 'certificate-revoked',
    handling: 'needs-operator',
    message: matching(/certificate that alpha shows was revoked, says .*ca-crl\.pem on beta/),
    remedy: containing('vmferry pki issue alpha --force'),
    host: 'beta',
  });
  await fleet.issue('alpha');
  expect((await readAll(await openDisk())).equals(fleet.content)).toBe(true);
});

it.each([
  {
    what: 'has expired',
    list: () => fleet.list(fleet.authority, '2026-01-01', '2026-02-01'),
    code: 'revocations-expired',
  },
  {
    what: 'is of another authority with the same name',
    list: async () => {
      const stranger = new Authority({ dir: join(fleet.dir, 'namesake'), keyBits: 2048 });
      await stranger.init({ force: true });
      return fleet.list(stranger, '2026-01-01', '2046-01-01');
    },
    code: 'revocations-unusable',
  },
  { what: 'says nothing', list: () => Promise.resolve(''), code: 'revocations-unreadable' },
])('a list that $what admits no export, and is named', async ({ list, code }) => {
  const path = join(fleet.pkiDir('beta'), 'qemu/ca-crl.pem');
  await writeFile(path, await list());
  await expect(openDisk()).rejects.toMatchObject({
    code,
    handling: 'needs-operator',
    message: containing(`${path} on beta`),
    host: 'beta',
  });
  await rm(path);
  expect((await readAll(await openDisk())).equals(fleet.content)).toBe(true);
});
