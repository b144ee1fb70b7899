/** A host's policy has the last word on whole moves, whatever Temporal asks; and it never strands one that it let in. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, onTestFailed } from 'vitest';
import { parse, stringify } from 'yaml';
import { Ledger } from '../../../guard/ledger.ts';
import type { LabHost } from '../../../lab/host.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { ended, midCopy, openStage, reached, until } from '../stage.ts';
import type { Stage } from '../stage.ts';

const mebibyte = 1024 * 1024;
const bandwidthBytesPerSecond = 8 * mebibyte;

let stage: Stage;
let vm: LabVm;
let policy: { alpha: string; beta: string };

beforeAll(async () => {
  stage = await openStage({ name: `p${process.pid}`, poolBytes: 512 * mebibyte });
  vm = await stage.vm('alpha', { name: 'asked', dataDisk: { sizeMiB: 96, fillMiB: 64, seed: 4 } });
  policy = { alpha: await policyOf('alpha'), beta: await policyOf('beta') };
  await Promise.all(['alpha', 'beta'].map((host) => stage.fleet.worker(host).kill9()));
  await stage.fleet.ready();
});
afterAll(() => stage.close());
beforeEach(async () => {
  onTestFailed(async () => console.error(await stage.logs()), 20_000);
  await Promise.all(Object.values(policy).map((path) => allow(path, {})));
});

/** Names a policy file in the host's configuration, empty at first; the worker has to be started again for that. */
async function policyOf(host: string): Promise<string> {
  const config = join(stage.dir, `vmferry-${host}.yaml`);
  const path = join(stage.dir, `policy-${host}.yaml`);
  await allow(path, {});
  const said = parse(await readFile(config, 'utf8')) as { host: object };
  await writeFile(config, stringify({ ...said, host: { ...said.host, policy: path } }));
  return path;
}

const allow = (path: string, rules: object): Promise<void> =>
  writeFile(path, stringify(rules), { mode: 0o600 });
const move = (more: object = {}) =>
  stage.ferry.migrate({ vm: vm.name, from: 'alpha', to: 'beta', ...more });
const ledgerOf = (host: LabHost): Ledger =>
  new Ledger({ stateDir: host.rootOf(host.stateDir), host: host.name });

/** No folder of a move, no volume, no ledger entry where there was none. */
async function expectUntouched(): Promise<void> {
  for (const host of stage.lab.hosts)
    expect(await readdir(host.rootOf(join(host.stateDir, 'moves'))).catch(() => [])).toEqual([]);
  const beta = stage.lab.host('beta');
  const there = await readdir(beta.rootOf(beta.poolPath));
  expect(there.filter((name) => name.includes(vm.name))).toEqual([]);
  expect(await ledgerOf(beta).read(vm.uuid)).toBeUndefined();
}

it.each([
  { host: 'alpha', rule: 'verbs.move-away', rules: { verbs: { 'move-away': false } } },
  { host: 'alpha', rule: 'paths', rules: { paths: ['/srv'] } },
  { host: 'beta', rule: 'peers', rules: { peers: ['gamma'] } },
  { host: 'beta', rule: 'pools', rules: { pools: ['fast'] } },
  { host: 'beta', rule: 'operators.allow', rules: { operators: { allow: ['nobody'] } } },
] as const)('$host refuses a move by $rule before anything is touched', async (one) => {
  const { host, rule, rules } = one;
  await allow(policy[host], rules);
  const report = await ended(await move());
  expect(report).toMatchObject({
    phase: 'failed',
    fault: { code: 'policy-denied', host },
    failedCompensations: [],
  });
  expect(report.fault?.message).toContain(`rule ${rule} in ${policy[host]}`);
  expect(report.concerns).toContainEqual(
    expect.objectContaining({ code: 'policy-denied', level: 'critical', host }),
  );
  await expectUntouched();
});

it('a broken file lets nothing new in', async () => {
  await writeFile(policy.beta, 'peers: [');
  const report = await ended(await move());
  expect(report.fault).toMatchObject({ code: 'policy-broken', host: 'beta' });
  await expectUntouched();
});

it('a host that forbids the move in mid-copy undoes it at its next step, and is not stuck with it', async () => {
  const going = await move({ bandwidthBytesPerSecond });
  await midCopy(going, 0.2);
  await allow(policy.beta, { verbs: { 'move-here': false }, peers: [], paths: [] });
  const report = await ended(going);
  expect(report).toMatchObject({
    phase: 'failed',
    fault: { code: 'policy-denied', host: 'beta' },
    vmOn: 'alpha',
    failedCompensations: [],
  });
  await expectUntouched();
  expect(await ledgerOf(stage.lab.host('alpha')).read(vm.uuid)).toMatchObject({ state: 'owner' });
});

it('a commit that the source forbids waits for a person, and goes on once it is allowed', async () => {
  const going = await move();
  await reached(going, 'awaiting-commit');
  await allow(policy.alpha, { verbs: { 'remove-source': false } });
  await going.commit();
  const parked = await until(going, ({ report }) => report.phase === 'parked', 'its parking');
  expect(parked.fault).toMatchObject({ code: 'policy-denied', host: 'alpha' });
  expect(parked.fault?.remedy).toContain('vmferry retry');
  expect(parked.vmOn).toBe('beta');
  await allow(policy.alpha, {});
  await going.retry();
  expect(await ended(going)).toMatchObject({ phase: 'committed', vmOn: 'beta' });
});
