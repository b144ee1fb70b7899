/** Rehearsals on a real libvirtd and QEMU, by emulation: a boot sector comes up, is seen, and nothing of it is left. */
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cacheOf } from '../../../activities/import/cache-of.ts';
import { ensureCached } from '../../../activities/import/ensure-cached.ts';
import type { ImportParts } from '../../../activities/import/parts.ts';
import { keepCache } from '../../../activities/import/keep-cache.ts';
import { rehearse } from '../../../activities/import/rehearse.ts';
import type { RehearsalWish } from '../../../domain/import/rehearsal.ts';
import { diskIdentity } from '../../../guard/identity.ts';
import { Ledger } from '../../../guard/ledger.ts';
import { renderHook } from '../../../guard/install.ts';
import { bootSector } from '../../../lab/guests/boot-sector.ts';
import type { BootSectorOptions } from '../../../lab/guests/boot-sector.ts';
import { LibvirtRehearsals } from '../../../platforms/libvirt/rehearsal.ts';
import { rehearsalName } from '../../../platforms/libvirt/rehearsal-xml.ts';
import { foreignVm, planFor } from '../../quick/import/fake-import.ts';
import { conversionHost, MiB, PlayedSource, refOf } from '../../quick/import/played-source.ts';
import { run, startTestHost } from '../platforms/host.ts';
import type { TestHost } from '../platforms/host.ts';

// Of no other test: processes of a cached VM are ended wherever they are.
const ref = { ...refOf('one'), provider: `rehearsals-${randomUUID()}` };
let host: TestHost;
let stateDir: string;
let ledger: Ledger;
let rehearsals: LibvirtRehearsals;
beforeAll(async () => {
  // The hook has to be there when the daemon starts; what it looks into is each test's own.
  stateDir = `/var/tmp/vmferry-rehearsal-${randomUUID()}`;
  ledger = new Ledger({ stateDir, host: 'alpha' });
  await setAside(ledger, []);
  host = await startTestHost({ hook: await renderHook(stateDir) });
  rehearsals = new LibvirtRehearsals({
    ...{ name: 'alpha', socketPath: host.libvirtd.unixPath, timeoutMs: 20_000 },
    fileRoot: `/proc/${host.libvirtd.pid}/root`,
  });
}, 120_000);
afterEach(() => host.clear());
afterAll(async () => {
  await rehearsals.close();
  await host.end();
  await rm(stateDir, { recursive: true, force: true });
});

/** A VM that may not start here, with these disks. */
const setAside = async (own: Ledger, paths: string[]): Promise<string> => {
  const uuid = randomUUID();
  const disks = await Promise.all(
    paths.map(async (path) => ({ path, identity: await diskIdentity(path) })),
  );
  const as = { migrationId: '', name: 'other', note: '', disks };
  await own.transition(uuid, { to: 'quarantined', epoch: 1, ...as });
  return uuid;
};

/** A conversion host with a copied VM whose first disk is that guest. */
async function cached(guest: BootSectorOptions): Promise<ImportParts> {
  const source = new PlayedSource();
  const bytes = Buffer.concat([bootSector(guest), Buffer.alloc(4 * MiB - 512)]);
  source.disks.set('2000', { bytes, fingerprint: 'a' });
  const parts = await conversionHost(join(host.dir, randomUUID()), source);
  await ensureCached(
    parts,
    {
      ...ref,
      ...{ vm: source.vm, disks: ['2000'], bandwidthBytesPerSecond: 0, running: 'shutdown' },
    },
    { signal: never, report: () => undefined, throttle: { take: () => Promise.resolve() } },
  );
  const checks = {
    web: ['/bin/sh', '-c', 'test "$VMFERRY_GUEST_NAME" = web'],
    never: ['/bin/false'],
  };
  return { ...parts, rehearsals: { host: rehearsals, checks } };
}
const never = new AbortController().signal;

/** Asks for one: of the copy as it came, unless it is told that it was converted. */
async function play(
  parts: ImportParts,
  { converted = false, ...wish }: Partial<RehearsalWish> & { converted?: boolean },
  signal = never,
) {
  const plan = planFor(randomUUID(), false);
  return rehearse(
    parts,
    {
      ...ref,
      vm: foreignVm,
      ...{ wish: { check: { kind: 'auto' }, only: false, ...wish } },
      plan: {
        ...plan,
        ...{ converted, bus: converted ? 'virtio-scsi' : 'sata', memoryBytes: 64 * MiB, cpus: 1 },
        disks: plan.disks.slice(0, 1),
      },
    },
    signal,
  );
}

/** The name of the domain, once libvirt has it; rejects where the rehearsal ends before. */
async function started(playing: Promise<unknown>): Promise<string> {
  const shown = expect.poll(() => host.virsh('list', '--name'), { timeout: 60_000 }).not.toBe('');
  const over = playing.then((said) => {
    throw new Error(`it was over before it was seen: ${String(said)}`);
  });
  await Promise.race([shown, over]);
  // Its end is each test's own matter.
  over.catch(() => undefined);
  return host.virsh('list', '--name');
}

/** Domains, networks, files of libvirt and of the cache. */
async function left(parts: ImportParts): Promise<string[]> {
  const { folder } = cacheOf(parts, ref);
  const inHost = (path: string) =>
    readdir(`/proc/${host.libvirtd.pid}/root${path}`).catch(() => []);
  const all = [
    ...(await host.virsh('list', '--all', '--name')).split('\n'),
    ...(await host.virsh('net-list', '--all', '--name')).split('\n'),
    ...(await inHost('/var/log/libvirt/qemu')),
    ...(await inHost('/var/lib/libvirt/dnsmasq')),
    ...(await inHost('/sys/class/net')).filter((name) => name.startsWith('vfr')),
    ...(await readdir(folder)),
  ];
  return all.filter((name) => /rehears|^vfr/.test(name));
}

/**
 * For a user without rights to /dev/kvm libvirt asks QEMU anew at every word what it can do (20 times in one rehearsal),
 * since QEMU opens it all the same; and what it learns is not for the daemons of other tests.
 */
const withoutKvm = `mount -t tmpfs tmpfs /var/cache/libvirt
[ ! -e /dev/kvm ] || { install -m 600 /dev/null /run/no-kvm && mount --bind /run/no-kvm /dev/kvm; }`;

describe('a rehearsal', { timeout: 120_000 }, () => {
  it('comes up from throw-away images on a network that leads nowhere, is seen, and is gone', async () => {
    const parts = await cached({ says: 'rehearsed: \u001b[1mup\u001b[0m', then: 'waits' });
    const path = join(cacheOf(parts, ref).folder, 'disk-0.raw');
    const before = await readFile(path);
    const playing = play(parts, { check: { kind: 'console', pattern: '^rehearsed: \\w+$' } });
    expect(await started(playing)).toMatch(/^vmferry-rehearsal-/);
    const report = await playing;
    expect(report).toMatchObject({
      ...{ outcome: 'proved', check: 'console', emulated: true },
      saw: 'its console says "rehearsed: up"',
    });
    expect(report.console.at(-1)).toBe('rehearsed: up');
    expect(await left(parts)).toEqual([]);
    expect((await readFile(path)).equals(before)).toBe(true);
    expect((await stat(path)).uid).toBe(process.geteuid?.());
  });

  it('is unproved where the guest only runs on, and failed where it ends', async () => {
    const runsOn = await cached({ says: 'here', then: 'waits' });
    const report = await play(runsOn, { limitMs: 4_000 });
    expect(report.outcome).toBe('unproved');
    expect(report.console).toContain('here');
    const ends = await cached({ says: 'no disk found', then: 'powers-off' });
    const failed: unknown = await play(ends, { limitMs: 60_000 }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'rehearsal-failed', handling: 'needs-operator' });
    expect(String(failed)).toMatch(/it is off after .*console ends with: .*no disk found/);
    expect([...(await left(runsOn)), ...(await left(ends))]).toEqual([]);
  });

  it('asks programs that the configuration names, and none that it does not', async () => {
    const parts = await cached({ says: 'here', then: 'waits' });
    const check = (name: string) => ({ check: { kind: 'command', name } as const, limitMs: 1_000 });
    const { check: web } = check('web');
    expect(await play(parts, { check: web, limitMs: 60_000 })).toMatchObject({ outcome: 'proved' });
    await expect(play(parts, check('never'))).rejects.toMatchObject({ code: 'rehearsal-failed' });
    await expect(play(parts, check('/bin/true'))).rejects.toMatchObject({
      code: 'rehearsal-check-unknown',
    });
    expect(await left(parts)).toEqual([]);
  });

  it('ends with the connection that began it, and what else it left goes with the next word about its cache', async () => {
    const parts = await cached({ says: 'here', then: 'waits' });
    const own = new LibvirtRehearsals({
      ...{ name: 'alpha', socketPath: host.libvirtd.unixPath },
      fileRoot: `/proc/${host.libvirtd.pid}/root`,
    });
    const dying: ImportParts = { ...parts, rehearsals: { host: deaf(own), checks: {} } };
    const playing = play(dying, { limitMs: 300_000 }).catch((error: unknown) => error);
    const as = rehearsalName(cacheOf(parts, ref).key);
    expect(await started(playing)).toBe(as.name);
    await own.close();
    await expect.poll(() => host.virsh('list', '--all', '--name'), { timeout: 30_000 }).toBe('');
    await playing;
    expect(await left(parts)).toContain('rehearsal');
    await keepCache(parts, { ...ref, seconds: 60 }, never);
    expect(await left(parts)).toEqual([]);
  });

  it('is refused by the hook and by its own look where another VM has its images', async () => {
    const parts = await cached({ says: 'here', then: 'waits' });
    const { folder } = cacheOf(parts, ref);
    const uuid = await setAside(ledger, [join(folder, 'rehearsal', 'disk-0.qcow2')]);
    await expect(play(parts, {})).rejects.toMatchObject({ code: 'start-refused-by-guard' });
    await ledger.remove(uuid, (await ledger.read(uuid))!);
    // The hook sees no images below the one that is written to.
    await setAside(parts.host.ledger, [join(folder, 'disk-0.raw')]);
    await expect(play(parts, {})).rejects.toMatchObject({ code: 'rehearsal-image-foreign' });
    expect(await left(parts)).toEqual([]);
  });

  it('has an address beside the guest where its port is to be asked, and is no VM of the host meanwhile', async () => {
    // Part of what is installed with libvirt.
    await mkdir(join(host.libvirtd.dir, 'var/lib/libvirt/dnsmasq'));
    const parts = await cached({ says: 'here', then: 'waits' });
    const check = { kind: 'port', address: '198.51.100.20', port: 22 } as const;
    const playing = play(parts, { check, limitMs: 6_000 });
    await started(playing);
    const { stdout } = await host.libvirtd.exec('ip', '-o', '-4', 'address');
    expect(stdout).toMatch(/vfr[0-9a-f]{12} +inet 198\.51\.100\.19\/29 /);
    expect(await host.source.list()).toEqual([]);
    await expect(playing).rejects.toMatchObject({ code: 'rehearsal-failed' });
    expect(await left(parts)).toEqual([]);
  });

  it('is called off at any moment without a trace', async () => {
    const parts = await cached({ says: 'here', then: 'waits' });
    const calling = new AbortController();
    const playing = play(parts, { limitMs: 300_000 }, calling.signal);
    await started(playing);
    calling.abort(new Error('called off'));
    await expect(playing).rejects.toThrow();
    expect(await left(parts)).toEqual([]);
  });

  // The last one: the daemon stays so.
  it('is within reach of a user that QEMU runs as, over an overlay of the conversion, and the cache is closed again', async () => {
    const { libvirtd } = host;
    const conf = join(libvirtd.dir, 'etc/libvirt/qemu.conf');
    const asRoot = await readFile(conf, 'utf8');
    await writeFile(
      conf,
      asRoot.replaceAll('"root"', '"nobody"').replace(/^group.*$/m, 'group = "nogroup"'),
    );
    await libvirtd.killDaemon();
    await libvirtd.exec('sh', '-c', withoutKvm);
    await libvirtd.startDaemon();
    const parts = await cached({ says: 'nothing', then: 'powers-off' });
    const { folder, conversionFolder } = cacheOf(parts, ref);
    await mkdir(conversionFolder, { mode: 0o700 });
    const overlay = join(conversionFolder, 'disk-0.qcow2');
    const base = join(folder, 'disk-0.raw');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', overlay]);
    // As a conversion would: what is started is what it wrote.
    const sector = join(host.dir, 'sector');
    await writeFile(sector, bootSector({ says: 'converted', then: 'waits' }));
    await run('qemu-io', ['-f', 'qcow2', '-c', `write -s ${sector} 0 512`, overlay]);
    const check = { kind: 'console', pattern: '^converted$' } as const;
    await chmod(host.dir, 0o700);
    await expect(play(parts, { check, converted: true })).rejects.toMatchObject({
      code: 'rehearsal-folder-closed',
    });
    await chmod(host.dir, 0o711);
    const report = await play(parts, { check, converted: true, limitMs: 60_000 });
    expect(report).toMatchObject({ outcome: 'proved' });
    for (const path of [base, overlay, folder, conversionFolder]) {
      const { uid, mode } = await stat(path);
      expect([path, uid, mode & 0o077 & ~0o044]).toEqual([path, process.geteuid?.(), 0]);
    }
    expect(await left(parts)).toEqual([]);
  });
});

/** A host whose worker is gone: it ends nothing any more. */
const deaf = (own: LibvirtRehearsals): LibvirtRehearsals => {
  let hasBegun = false;
  return Object.assign(Object.create(own) as LibvirtRehearsals, {
    ...{ consolePath: own.consolePath, emulator: own.emulator },
    begin: (...args: Parameters<LibvirtRehearsals['begin']>) => {
      hasBegun = true;
      return own.begin(...args);
    },
    run: (...args: Parameters<LibvirtRehearsals['run']>) => own.run(...args),
    state: () => Promise.reject(new Error('the worker is gone')),
    console: () =>
      new Promise<never>((_, reject) => setTimeout(() => reject(new Error('gone')), 3_000)),
    end: (...args: Parameters<LibvirtRehearsals['end']>) =>
      hasBegun ? Promise.reject(new Error('the worker is gone')) : own.end(...args),
  });
};
