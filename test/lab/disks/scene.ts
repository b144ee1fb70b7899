/** One VM's way from alpha to beta by real workers, and what has to hold when it ended. */
import { readdir } from 'node:fs/promises';
import { expect } from 'vitest';
import type { MigrateRequest } from '../../../client/vmferry.ts';
import type { FerryMove } from '../../../cli/ferry.ts';
import type { MovePlan, MoveReport, PlannedDisk } from '../../../domain/move.ts';
import { Ledger } from '../../../guard/ledger.ts';
import type { LabHost } from '../../../lab/host.ts';
import { must, virsh, withXml } from '../refusals/tiny-vm.ts';
import { ended, reached } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { contentOf, isThere } from './images.ts';
import { carried, definitionOf, disksIn } from './vm.ts';
import type { MadeVm, NamedDisk } from './vm.ts';

/** The hosts; every row goes from alpha to beta. */
export interface Scene {
  stage: Stage;
  alpha: LabHost;
  beta: LabHost;
}

/** A VM that stands ready, and what is asked for it. */
export interface Journey {
  vm: MadeVm;
  request?: Partial<MigrateRequest>;
  /** The way of each disk, as the plan and then the definition on beta have to say it. */
  ways: { name: string; how: 'copy' | 'shared'; path: string; format: 'raw' | 'qcow2' }[];
  /** Codes of concerns that have to be told, and no others. */
  concerns?: string[];
  /** Images of alpha that stay there after the commit, besides those of shared disks. */
  stays?: string[];
  /** What else has to hold, after the commit and before the VM is started on beta. */
  after?: (report: MoveReport) => Promise<void>;
  /** Another story than a move that commits by itself. */
  play?: (run: Run) => Promise<void>;
}

export interface DiskRow {
  name: string;
  /** Why it cannot be played on this machine; empty if it can. */
  lacks?: string;
  prepare(scene: Scene): Promise<Journey>;
}

/** A row that is being played. */
export interface Run extends Scene {
  journey: Journey;
  /** What each disk held on alpha before. */
  before: string[];
  /** The definition on alpha before. */
  definition: string;
}

const requestOf = ({ vm, request }: Journey): MigrateRequest => ({
  vm: vm.name,
  from: 'alpha',
  to: 'beta',
  shutdown: 'force',
  ...request,
});

/** Starts the move of a row. */
export const move = ({ stage, journey }: Run, more: Partial<MigrateRequest>): Promise<FerryMove> =>
  stage.ferry.migrate({ ...requestOf(journey), ...more });

/** What the row's move would do; asserts that it is what the row says. */
export async function plan({ stage }: Scene, journey: Journey): Promise<MovePlan> {
  const found = await stage.ferry.plan(requestOf(journey));
  expect(found.disks.map(wayOf), journey.vm.name).toEqual(journey.ways);
  expect(found.mode).toBe(journey.ways.some(({ how }) => how === 'copy') ? 'cold' : 'shared');
  expectConcerns(found.concerns, journey);
  return found;
}

const wayOf = ({ name, how, to }: PlannedDisk): Journey['ways'][number] => ({
  name,
  how,
  path: to.path,
  format: to.format,
});

function expectConcerns(
  concerns: MoveReport['concerns'],
  { concerns: wanted = [] }: Journey,
): void {
  // How much memory is free is the machine's affair.
  const codes = concerns.map(({ code }) => code).filter((code) => code !== 'memory-tight');
  expect(codes.sort()).toEqual([...wanted].sort());
}

/** Plays a row to its end. */
export async function playRow(scene: Scene, journey: Journey): Promise<void> {
  const definition = await definitionOf(scene.alpha, journey.vm.name);
  const run: Run = {
    ...scene,
    journey,
    definition,
    before: await contents(scene.alpha, definition),
  };
  if (journey.play !== undefined) return journey.play(run);
  const report = await ended(await move(run, { autoCommit: true }));
  await expectCommitted(run, report);
}

const contents = (host: LabHost, definition: string): Promise<string[]> =>
  Promise.all(disksIn(definition).map(({ path, format }) => contentOf(host, path, format)));

/** Committed, whole, on beta alone, and nothing of it left on alpha. */
export async function expectCommitted(run: Run, report: MoveReport): Promise<void> {
  const { journey, beta, before } = run;
  const { name } = journey.vm;
  expect(report, JSON.stringify(report.firstError)).toMatchObject({
    phase: 'committed',
    vmOn: 'beta',
    oneRunning: 'enforced',
    failedCompensations: [],
  });
  expectConcerns(report.concerns, journey);
  const arrived = await definitionOf(beta, name);
  // What a disk lies on stands in its image, not in the definition.
  const there: NamedDisk[] = journey.ways
    .filter(({ name: dev }) => !dev.includes('.'))
    .map(({ name: dev, path, format }) => ({ dev, path, format }));
  expect(disksIn(arrived)).toEqual(there);
  expect(carried(arrived)).toBe(carried(run.definition));
  if (report.vmRunning) await must(beta, 'destroy', name);
  expect(await contents(beta, arrived)).toEqual(before);
  await journey.after?.(report);
  await expectLeft(run);
  await expectOnlyOn(beta, run.alpha, journey.vm);
  expect((await ledgerOf(run.alpha).read(journey.vm.uuid))?.note).toBe('moved to beta');
}

/** On alpha: no definition, no copied image but what was to stay. */
async function expectLeft({ alpha, journey, definition }: Run): Promise<void> {
  expect((await virsh(alpha, 'dominfo', journey.vm.name)).ok).toBe(false);
  const shared = journey.ways.filter(({ how }) => how === 'shared').map(({ path }) => path);
  const stays = new Set([...(journey.stays ?? []), ...shared]);
  for (const { path } of disksIn(definition))
    expect(await isThere(alpha, path), path).toBe(stays.has(path));
  for (const path of stays) expect(await isThere(alpha, path), path).toBe(true);
}

export const ledgerOf = (host: LabHost): Ledger =>
  new Ledger({ stateDir: host.rootOf(host.stateDir), host: host.name });

/** The ledgers say so, it starts on the one, and the other's libvirt refuses it whoever asks. */
async function expectOnlyOn(on: LabHost, off: LabHost, vm: MadeVm): Promise<void> {
  const [owner, other] = await Promise.all([on, off].map((host) => ledgerOf(host).read(vm.uuid)));
  expect([owner?.state, other?.state]).toEqual(['owner', 'released']);
  await must(on, 'start', '--paused', vm.name);
  await must(on, 'destroy', vm.name);
  const xml = await definitionOf(on, vm.name);
  const again = await withXml(off, xml, (file) => virsh(off, 'create', file));
  expect(again).toMatchObject({
    ok: false,
    words: expect.stringMatching(/may not start/) as string,
  });
}

/** Moves, waits before the commit, and takes it back: alpha has all as it was, beta nothing. */
export async function playRollback(run: Run, meanwhile?: () => Promise<void>): Promise<void> {
  const { alpha, beta, journey } = run;
  const { name } = journey.vm;
  const going = await move(run, {});
  expect(await reached(going, 'awaiting-commit')).toMatchObject({ phase: 'awaiting-commit' });
  await meanwhile?.();
  await going.rollback();
  const report = await ended(going);
  expect(report).toMatchObject({ phase: 'rolled-back', vmOn: 'alpha', failedCompensations: [] });
  expect((await virsh(beta, 'dominfo', name)).ok).toBe(false);
  expect(carried(await definitionOf(alpha, name))).toBe(carried(run.definition));
  expect(await contents(alpha, run.definition)).toEqual(run.before);
  for (const { how, path } of journey.ways)
    expect(await isThere(beta, path), path).toBe(how === 'shared');
  await journey.after?.(report);
  await expectOnlyOn(alpha, beta, journey.vm);
}

/** Files that only a move under way has: words beside disks, exports, journals, its folder. */
export async function tracesOn(host: LabHost): Promise<string[]> {
  const pools = [host.poolPath, host.fastPoolPath, host.sharedPoolPath];
  const own = ['moves', 'exports', 'local'].map((name) => `${host.stateDir}/${name}`);
  const found: string[] = [];
  for (const folder of [...pools, ...own]) {
    const names = await readdir(host.rootOf(folder)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    const isTrace = (name: string): boolean => own.includes(folder) || name.includes('vmferry');
    found.push(...names.filter(isTrace).map((name) => `${host.name}: ${folder}/${name}`));
  }
  return found;
}
