/** Whole moves by workers that have what the systemd unit gives them, and no more. */
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it, onTestFailed } from 'vitest';
import { compileCache } from '../../../lab/fleet.ts';
import { Supervised } from '../../../lab/supervised.ts';
import type { LabVm } from '../../../lab/vm.ts';
import { waitUntil } from '../../../lab/wait.ts';
import { expectMoved, newestTick } from '../faults/soundness.ts';
import { ended, openStage } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { Witness } from '../witness.ts';

const unit = new URL('../../../deploy/systemd/vmferry-host.service', import.meta.url);
const nonRoot = new URL('vmferry-host.service.d/non-root.conf.example', unit);
/** `nobody`: who it is says nothing, what it may do is the point. */
const user = '65534';
const cli = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url));
/** What `ProtectSystem=full` with `ReadWritePaths=/etc/libvirt/hooks` makes of the mounts; then the command. */
const readOnlySystem = `
set -e
mount --bind /etc/libvirt/hooks /etc/libvirt/hooks
for folder in /usr /etc; do mountpoint -q $folder || mount --rbind $folder $folder; done
awk '{ print $5 }' /proc/self/mountinfo | grep -E '^/(usr|etc)(/|$)' | grep -v '^/etc/libvirt/hooks$' |
  while read -r mount; do mount -o remount,bind,ro "$mount"; done
exec "$@"`;

let stage: Stage;
let vm: LabVm;
const workers = new Map<string, Supervised>();

beforeAll(async () => {
  stage = await openStage({ name: `p${process.pid}`, poolBytes: 512 * 1024 * 1024 });
  vm = await stage.vm('alpha', {
    name: 'least',
    run: true,
    dataDisk: { sizeMiB: 64, fillMiB: 16, format: 'qcow2', seed: 9 },
  });
});
afterEach(async () => {
  await Promise.all([...workers.values()].map((worker) => worker.stop()));
});
afterAll(async () => {
  await stage.close();
});

/** `+dac_override,...` as setpriv wants it, from the unit itself. */
async function capabilitiesIn(file: URL, key: string): Promise<string> {
  const text = await readFile(file, 'utf8');
  const line = new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  return line
    .split(' ')
    .map((name) => `+${name.replace('CAP_', '').toLowerCase()}`)
    .join(',');
}

/** Replaces the worker of a host by one behind `wrap`; resolves when it is ready. */
async function startShutIn(host: string, wrap: readonly string[]): Promise<void> {
  await stage.fleet.worker(host).stop();
  const logPath = join(stage.dir, 'logs', `shut-in-${host}.log`);
  const config = join(stage.dir, `vmferry-${host}.yaml`);
  const worker = new Supervised({
    name: `shut-in-${host}`,
    logPath,
    restart: false,
    launch: (output) =>
      stage.lab
        .host(host)
        .spawn(
          [
            ...['unshare', '--mount', '--propagation', 'slave'],
            ...['sh', '-c', readOnlySystem, 'sh', ...wrap],
            ...[process.execPath, cli, 'host', '--config', config],
          ],
          { stdio: ['ignore', output, output], detached: true, env: compileCache },
        ),
  });
  workers.set(host, worker);
  worker.start();
  await waitUntil(
    async () =>
      !worker.isRunning ||
      (await readFile(logPath, 'utf8'))
        .split('\n')
        .some((line) => line.includes(`"pid":${worker.pid ?? 0},`) && line.includes('is ready')),
    { what: `the worker of ${host}; see ${logPath}`, timeoutMs: 60_000, everyMs: 100 },
  );
  if (!worker.isRunning) throw new Error(await readFile(logPath, 'utf8'));
}

/** What the kernel says of the worker's capabilities. */
async function boundingSetOf(host: string): Promise<string> {
  const status = await readFile(`/proc/${workers.get(host)?.pid ?? 0}/status`, 'utf8');
  return /^CapBnd:\s*(\w+)$/m.exec(status)?.[1] ?? '';
}

/** From where it runs to the other host. */
async function moveAcross(): Promise<void> {
  const running = (await stage.virsh('alpha', 'list', '--name')).split('\n').includes(vm.name);
  const [from, to] = running ? (['alpha', 'beta'] as const) : (['beta', 'alpha'] as const);
  onTestFailed(async () => {
    console.error(await stage.logs());
    for (const { logPath } of workers.values())
      console.error(await readFile(logPath, 'utf8').catch(String));
  }, 20_000);
  const tickBefore = await newestTick(stage, from, vm);
  const witness = Witness.watch(vm.uuid);
  const report = await ended(
    await stage.ferry.migrate({ vm: vm.name, from, to, autoCommit: true }),
  );
  await expectMoved({ stage, vm, from, to, tickBefore, witness }, report);
}

it("moves a VM with root's worker shut in as its unit has it", async () => {
  const wrap = [
    'setpriv',
    `--bounding-set=-all,${await capabilitiesIn(unit, 'CapabilityBoundingSet')}`,
    '--inh-caps=-all',
    '--no-new-privs',
  ];
  for (const host of ['alpha', 'beta']) await startShutIn(host, wrap);
  // Four capabilities: the test would say nothing if they were all still there.
  expect(
    BigInt(`0x${await boundingSetOf('alpha')}`)
      .toString(2)
      .replaceAll('0', ''),
  ).toBe('1111');
  await moveAcross();
});

it('moves it with workers that are not root, but for the capabilities of the drop-in', async () => {
  const capabilities = await capabilitiesIn(nonRoot, 'AmbientCapabilities');
  const wrap = [
    ...['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--no-new-privs'],
    ...[`--inh-caps=-all,${capabilities}`, `--ambient-caps=-all,${capabilities}`],
    `--bounding-set=-all,${capabilities}`,
  ];
  // As /etc/vmferry is: whether a file is there is asked with the user's own rights, whatever its capabilities.
  await chmod(stage.dir, 0o711);
  for (const host of ['alpha', 'beta']) {
    await stage.lab
      .host(host)
      .exec(['chown', '-R', `${user}:${user}`, '/var/lib/vmferry'], { timeoutMs: 10_000 });
    await startShutIn(host, wrap);
  }
  await moveAcross();
});
