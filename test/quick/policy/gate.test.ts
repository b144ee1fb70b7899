import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MoveFolder } from '../../../activities/move-folder.ts';
import type { Hypervisor } from '../../../activities/parts.ts';
import type { PolicyState } from '../../../activities/policy-denied.ts';
import { Gate } from '../../../activities/policy-gate.ts';
import { readMoveMemory } from '../../../activities/policy-memory.ts';
import { openPolicy } from '../../../domain/policy.ts';
import type { Policy } from '../../../domain/policy.ts';
import { hostParts } from '../activities/host-parts.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-gate-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

const vm = { name: 'web', uuid: randomUUID() };
const server = { clusterId: 'c', namespaceId: 'n' };
const file = '/etc/vmferry/policy.yaml';
const pass = { concerns: [], guardLive: true };

/** A host with a policy that a test may change while it goes. */
function host(first: Partial<Policy> = {}) {
  let state: PolicyState = { state: 'read', policy: { ...openPolicy(file), ...first } };
  const off: string[] = [];
  const hypervisor: Partial<Hypervisor> = {
    inspect: () =>
      Promise.resolve({
        disks: [
          { device: 'disk', path: '/images/web.qcow2', pool: 'default', backing: ['/base/a.raw'] },
        ],
      }) as unknown as ReturnType<Hypervisor['inspect']>,
    forceOff: (uuid) => {
      off.push(uuid);
      return Promise.resolve();
    },
  };
  const parts = hostParts({ name: 'alpha', stateDir, hypervisor });
  const migrationId = randomUUID();
  return {
    gate: new Gate({
      parts,
      policy: { current: () => Promise.resolve(state) },
      server: () => server,
    }),
    migrationId,
    ref: { moveId: 'migrate/default/web', migrationId, vm },
    folder: new MoveFolder({ stateDir, migrationId, host: 'alpha' }),
    change: (policy: Partial<Policy>) => {
      state = { state: 'read', policy: { ...openPolicy(file), ...policy } };
    },
    breakFile: () => {
      state = { state: 'broken', file, reason: 'half a file' };
    },
    off,
  };
}

const request = { from: 'alpha', to: 'beta', operator: 'ada@desk', shutdown: 'graceful' };
type Host = ReturnType<typeof host>;
const checkSource = (
  { gate, ref }: Host,
  { more = {}, result = pass }: { more?: object; result?: object } = {},
) =>
  gate.through('checkSource', { ...ref, target: 'beta', request: { ...request, ...more } }, () =>
    Promise.resolve({ ...result }),
  ) as Promise<{ concerns: { code: string; message: string; remedy: string; level: string }[] }>;
const checkTarget = ({ gate, ref }: Host, disks: object[] = []) =>
  gate.through(
    'checkTarget',
    { ...ref, source: {}, request: { ...request, from: 'beta', to: 'alpha' } },
    () => Promise.resolve({ ...pass, disks }),
  ) as Promise<{ concerns: { code: string; message: string }[]; disks: object[] }>;
const verb = ({ gate, ref }: Host, name: string, more: object = {}) =>
  gate.through(name, { ...ref, epoch: 1, ...more }, () => Promise.resolve('acted'));

const deny = { 'move-away': false };
const verbs = (change: object): Pick<Policy, 'verbs'> => ({
  verbs: { ...openPolicy(file).verbs, ...change },
});

describe('the check', () => {
  it('lets a move in and remembers who asked, for what, and on which server', async () => {
    const at = host();
    await checkSource(at);
    expect(await readMoveMemory(at.folder)).toMatchObject({
      moveId: 'migrate/default/web',
      migrationId: at.migrationId,
      role: 'source',
      peer: 'beta',
      operator: 'ada@desk',
      server,
    });
  });

  it.each([
    ['verbs.move-away', verbs(deny)],
    ['verbs.remove-source', verbs({ 'remove-source': false })],
    ['peers', { peers: ['gamma'] }],
    ['operators.deny', { operators: { allow: ['*'], deny: ['ada@*'] } }],
    ['pools', { pools: ['fast'] }],
    ['paths', { paths: ['/srv'] }],
  ])('of the source refuses by %s as a critical concern, and looks no further', async (rule, p) => {
    const at = host(p);
    let asked = false;
    const check = await at.gate.through(
      'checkSource',
      { ...at.ref, target: 'beta', request },
      () => {
        asked = true;
        return Promise.resolve(pass);
      },
    );
    expect(asked).toBe(false);
    const [concern] = check.concerns as {
      code: string;
      level: string;
      message: string;
      remedy: string;
    }[];
    expect(concern).toMatchObject({ code: 'policy-denied', level: 'critical' });
    expect(concern?.message).toContain(`rule ${rule} in ${file}`);
    expect(concern?.remedy).toContain(file);
    expect(await readdir(stateDir)).toEqual([]);
  });

  it('refuses a forced shutdown that the policy forbids', async () => {
    const at = host(verbs({ 'force-off': false }));
    expect((await checkSource(at)).concerns).toEqual([]);
    const forced = await checkSource(at, { more: { shutdown: 'force' } });
    expect(forced.concerns.map(({ code }) => code)).toEqual(['policy-denied']);
  });

  it('of the target refuses a pool that is not listed, and leaves nothing', async () => {
    const at = host({ pools: ['fast'] });
    const disks = [{ targetPool: 'default', targetPath: '/images/web.qcow2' }];
    const { concerns } = await checkTarget(at, disks);
    expect(concerns.map(({ code }) => code)).toEqual(['policy-denied']);
    expect(await readdir(join(stateDir, 'moves'))).toEqual([]);
  });

  it('of the target asks nothing of the host if the peer is not allowed', async () => {
    const { concerns, disks } = await checkTarget(host({ peers: [] }), [{}]);
    expect(concerns[0]?.message).toContain('moves with host beta');
    expect(disks).toEqual([]);
  });

  it('forgets a move that it refused for another reason', async () => {
    const at = host();
    const critical = { ...pass, concerns: [{ code: 'x', level: 'critical' }] };
    await checkSource(at, { result: critical });
    expect(await readdir(join(stateDir, 'moves'))).toEqual([]);
  });

  it('lets nothing new in by a broken file, and says which', async () => {
    const at = host();
    at.breakFile();
    const { concerns } = await checkSource(at);
    expect(concerns[0]).toMatchObject({ code: 'policy-broken', level: 'critical' });
    expect(concerns[0]?.message).toContain(file);
  });
});

describe('a move that was let in', () => {
  it('is refused its next steps once the policy forbids them', async () => {
    const at = host();
    await checkSource(at);
    at.change(verbs(deny));
    await expect(verb(at, 'guardSource', { target: 'beta' })).rejects.toMatchObject({
      code: 'policy-denied',
      handling: 'permanent',
    });
    at.change({ operators: { allow: ['eve'], deny: [] } });
    await expect(verb(at, 'ensureExport', { target: 'beta' })).rejects.toThrow('ada@desk');
  });

  it.each(['restoreSource', 'closeExports', 'clearTarget', 'revokeTarget', 'settleTarget'])(
    'is never refused %s',
    async (name) => {
      const at = host();
      await checkSource(at);
      at.change({ ...verbs({ ...deny, 'move-here': false }), peers: [], paths: [] });
      expect(await verb(at, name)).toBe('acted');
    },
  );

  it('is not undone at its commit, which waits for a person instead', async () => {
    const at = host();
    await checkSource(at);
    at.change(verbs({ 'remove-source': false }));
    await expect(verb(at, 'removeSource', { target: 'beta' })).rejects.toMatchObject({
      code: 'policy-denied',
      handling: 'needs-operator',
      remedy: expect.stringContaining('vmferry retry') as string,
    });
  });

  it('goes on while the file is broken', async () => {
    const at = host();
    await checkSource(at);
    at.breakFile();
    expect(await verb(at, 'guardSource', { target: 'beta' })).toBe('acted');
  });

  it('is refused another host than the one that it was let in with', async () => {
    const at = host();
    await checkSource(at);
    await expect(verb(at, 'ensureExport', { target: 'gamma' })).rejects.toThrow(
      'with beta; an order of it with gamma is refused',
    );
  });

  it('is refused an image outside the paths below a chain that is kept, before anything is done', async () => {
    const at = host({ paths: ['/images'] });
    expect((await checkSource(at)).concerns).toEqual([]);
    const { concerns } = await checkSource(at, { more: { chain: 'keep' } });
    expect(concerns).toMatchObject([{ code: 'policy-denied', level: 'critical' }]);
    expect(concerns[0]?.message).toContain('/base/a.raw');
  });

  it('is refused a disk outside the paths, whatever its check said', async () => {
    const at = host({ paths: [stateDir] });
    await checkTarget(at);
    const disk = { sourcePath: '/x', targetPath: '/etc/passwd', targetPool: 'default' };
    await expect(verb(at, 'ensureCopied', { disk })).rejects.toThrow('rule paths');
    const inside = { ...disk, targetPath: join(stateDir, 'web.qcow2') };
    expect(await verb(at, 'ensureCopied', { disk: inside })).toBe('acted');
  });

  it('leaves no folder once all is undone', async () => {
    const at = host();
    await checkSource(at);
    await verb(at, 'closeExports');
    expect(await readdir(join(stateDir, 'moves'))).toEqual([]);
  });

  it('keeps its folder while it holds more than the name', async () => {
    const at = host();
    await checkSource(at);
    await at.folder.write('source', { wasRunning: true, autostart: false });
    await verb(at, 'closeExports');
    expect(await readMoveMemory(at.folder)).toBeDefined();
  });
});

describe('a move that was never let in', () => {
  it('is refused where the policy asks for its operator', async () => {
    const at = host({ operators: { allow: ['ada@*'], deny: [] } });
    await expect(verb(at, 'guardSource', { target: 'beta' })).rejects.toThrow('not known');
  });

  it('goes on if an older version let it in', async () => {
    const at = host({ operators: { allow: ['ada@*'], deny: [] } });
    await at.folder.write('source', { wasRunning: true, autostart: false });
    expect(await verb(at, 'guardSource', { target: 'beta' })).toBe('acted');
    expect(await readMoveMemory(at.folder)).toMatchObject({
      moveId: 'migrate/default/web',
      role: 'source',
      peer: 'beta',
      operator: '',
    });
    // Nor later: it was let in, whoever asked for it.
    expect(await verb(at, 'ensureExport', { target: 'beta' })).toBe('acted');
  });
});

it('knows which moves are being worked on', async () => {
  const at = host();
  const { promise, resolve } = Promise.withResolvers<string>();
  const acting = at.gate.through('restoreSource', at.ref, () => promise);
  const second = verb(at, 'closeExports');
  await second;
  expect(at.gate.isAtWork(at.migrationId)).toBe(true);
  resolve('done');
  await acting;
  expect(at.gate.isAtWork(at.migrationId)).toBe(false);
});

it('powers a guest off only where the policy allows it', async () => {
  const at = host();
  await at.gate.partsToStop().hypervisor.forceOff('one');
  at.change(verbs({ 'force-off': false }));
  await expect(at.gate.partsToStop().hypervisor.forceOff('two')).rejects.toMatchObject({
    code: 'policy-denied',
  });
  expect(at.off).toEqual(['one']);
});

it('caps copies by the lower of two ceilings, the one of which may be none', async () => {
  const at = host({ bandwidthBytesPerSecond: 100 });
  expect(await at.gate.bandwidth(0)).toBe(100);
  expect(await at.gate.bandwidth(50)).toBe(50);
  at.change({});
  expect(await at.gate.bandwidth(50)).toBe(50);
  expect(await at.gate.bandwidth(0)).toBe(0);
});
