/** A host whose hypervisor, exports and Temporal a test plays; state folder, ledger and files are real. */
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MoveFolder } from '../../../activities/move-folder.ts';
import type { TargetMemory } from '../../../activities/move-folder.ts';
import type { OrphanCare } from '../../../activities/orphans.ts';
import type { DataPlane, Hypervisor } from '../../../activities/parts.ts';
import { rememberMove } from '../../../activities/policy-memory.ts';
import type { MoveFate } from '../../../domain/orphans.ts';
import type { VmState } from '../../../domain/vm.ts';
import { diskIdentity } from '../../../guard/identity.ts';
import type { Ledger } from '../../../guard/ledger.ts';
import { Quarantine } from '../../../guard/quarantine.ts';
import { Reconciler } from '../../../workers/reconcile.ts';
import { hostParts } from '../activities/host-parts.ts';

const server = { clusterId: 'cluster-1', namespaceId: 'namespace-1' };

export interface FakeVm {
  name: string;
  uuid: string;
  disks: string[];
  backing?: string[];
  /** Files of the host that its definition names. */
  files?: string[];
}

export async function fakeHost(options: { graceMs?: number } = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'vmferry-reconcile-'));
  const stateDir = join(dir, 'state');
  const pool = join(dir, 'pool');
  await mkdir(pool);
  const stateFolders = { nvram: join(dir, 'nvram'), tpm: join(dir, 'swtpm') };
  const quarantine = new Quarantine({ stateDir, host: 'beta' });
  const fates = new Map<string, MoveFate>();
  const exported: { moveId: string; diskName: string }[] = [];
  const said: string[] = [];
  const vms: FakeVm[] = [];
  const domains = new Map<string, VmState>();
  const working = new Set<string>();
  let reachable = true;
  const hypervisor: Partial<Hypervisor> = {
    state: (uuid) => Promise.resolve(domains.get(uuid)),
    undefine: (uuid) => {
      domains.delete(uuid);
      said.push('undefine');
      return Promise.resolve();
    },
    facts: () =>
      Promise.resolve({
        vms: vms.map(({ name, uuid, disks }) => ({ name, uuid, diskPaths: disks })),
      }) as unknown as ReturnType<Hypervisor['facts']>,
    list: () => Promise.resolve(vms) as unknown as ReturnType<Hypervisor['list']>,
    inspect: (uuid) => {
      const vm = vms.find((one) => one.uuid === uuid)!;
      const disks = vm.disks.map((path) => ({ path, backing: vm.backing ?? [] }));
      const hostFiles = (vm.files ?? []).map((path) => ({ role: 'nvram', path }));
      return Promise.resolve({ disks, hostFiles, fixedDevices: [] }) as unknown as ReturnType<
        Hypervisor['inspect']
      >;
    },
    deleteVolume: async (volume: { path: string }) => {
      said.push(`delete ${volume.path}`);
      if (!volume.path.startsWith(pool)) return false;
      await rm(volume.path);
      return true;
    },
  };
  const dataPlane: Partial<DataPlane> = {
    closeExports: (migrationId) => {
      said.push(`close exports`);
      const kept = exported.filter(({ moveId }) => moveId !== migrationId);
      exported.splice(0, exported.length, ...kept);
      return Promise.resolve();
    },
  };
  const parts = hostParts({ name: 'beta', stateDir, hypervisor, dataPlane });
  const { ledger } = parts;
  const witness = {
    identity: () =>
      reachable ? Promise.resolve(server) : Promise.reject(new Error('nobody answers')),
    fateOf: ({ migrationId }: { migrationId: string }): Promise<MoveFate> =>
      Promise.resolve(
        fates.get(migrationId) ?? { state: 'unknown', why: 'not-found', detail: 'no such move' },
      ),
  };
  const gate = { isAtWork: (migrationId: string) => working.has(migrationId) };
  const reconciler = new Reconciler({
    parts,
    gate,
    quarantine,
    witness,
    exports: () => Promise.resolve(exported),
    endLocalServers: () => Promise.resolve(0),
    log: () => undefined,
    graceMs: options.graceMs ?? 0,
  });
  const care: OrphanCare = {
    quarantine,
    look: () => reconciler.round(),
    fateOf: (move) => reconciler.fateOf(move),
    isAtWork: (migrationId) => gate.isAtWork(migrationId),
    stateFolders,
    admit: () => Promise.resolve(),
  };
  return {
    ...{
      parts,
      reconciler,
      quarantine,
      ledger,
      care,
      pool,
      stateDir,
      stateFolders,
      said,
      vms,
      domains,
    },
    ...{ exported, working, fates, witness },
    setReachable: (now: boolean) => {
      reachable = now;
    },
    /** A move as its verbs would have left it on this host. */
    move: (role: 'source' | 'target' = 'target') => makeMove({ stateDir, ledger, pool }, role),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true }),
  };
}

export type FakeHost = Awaited<ReturnType<typeof fakeHost>>;

async function makeMove(
  { stateDir, ledger, pool }: { stateDir: string; ledger: Ledger; pool: string },
  role: 'source' | 'target',
) {
  const migrationId = randomUUID();
  const vm = { name: 'web', uuid: randomUUID() };
  const moveId = `migrate/default/${vm.uuid}`;
  const folder = new MoveFolder({ stateDir, migrationId, host: 'beta' });
  const firstSeenAt = '2026-03-04T10:00:00.000Z';
  const others = { peer: 'alpha', operator: 'ada@desk', server, firstSeenAt };
  await rememberMove(folder, { moveId, migrationId, vm, role, ...others });
  const entry = { epoch: 3, migrationId, name: vm.name, note: 'on its way' };
  return {
    migrationId,
    vm,
    moveId,
    folder,
    /** Ledger, target memory and a volume with some bytes. */
    async reserve(change: Partial<TargetMemory> = {}) {
      const path = join(pool, `${vm.uuid}.raw`);
      await writeFile(path, 'bytes');
      await writeFile(`${path}.vmferry-journal`, 'journal');
      const identity = await diskIdentity(path);
      const volume = { disk: 'vda', pool: 'default', volume: `${vm.uuid}.raw`, path };
      const volumes = [{ ...volume, kind: 'file' as const, format: 'raw' as const, identity }];
      await folder.write('target', { knownBefore: false, volumes, defined: false, ...change });
      await ledger.transition(vm.uuid, { ...entry, to: 'incoming', disks: [{ path, identity }] });
      return path;
    },
    async guard() {
      await folder.write('source', { wasRunning: true, autostart: true });
      await ledger.transition(vm.uuid, { ...entry, to: 'migrating-out', disks: [] });
    },
    ledgerTo: (to: 'owner' | 'released', more: { migrationId?: string; epoch?: number } = {}) =>
      ledger.transition(vm.uuid, { ...entry, epoch: 4, to, ...more }),
  };
}
