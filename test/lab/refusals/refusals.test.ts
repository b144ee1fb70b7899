/**
 * Moves that must not begin: each is refused before anything is touched, on real hosts, and says what is in the way,
 * where, and what to do.
 */
import { copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MigrateRequest } from '../../../client/vmferry.ts';
import type { Fault } from '../../../domain/errors.ts';
import type { MoveReport } from '../../../domain/move.ts';
import { fillPool } from '../../../lab/faults.ts';
import type { LabHost } from '../../../lab/host.ts';
import { ended, openStage, reached } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { snapshotOf } from './host-snapshot.ts';
import { defineTiny, must, undefineTiny } from './tiny-vm.ts';
import type { TinyVm } from './tiny-vm.ts';

const mebibyte = 1024 * 1024;
const webMac = '52:54:00:aa:00:01';

let stage: Stage;
let alpha: LabHost;
let beta: LabHost;
/** The VM that most tests try to move: off, a disk, a card on br0. */
let web: TinyVm;

beforeAll(async () => {
  stage = await openStage({ name: 'refusals', poolBytes: 256 * mebibyte });
  alpha = stage.lab.host('alpha');
  beta = stage.lab.host('beta');
  web = await defineTiny(alpha, { name: 'web', disk: 'raw', mac: webMac });
});
afterAll(async () => stage.close());

const both = () => Promise.all([snapshotOf(alpha), snapshotOf(beta)]);

const webToBeta = { vm: 'web', from: 'alpha', to: 'beta' };

/** Runs `act`, which has to end without a trace on either host. */
async function untouched<T>(act: () => Promise<T>): Promise<T> {
  const before = await both();
  const result = await act();
  expect(await both()).toEqual(before);
  return result;
}

/** The error with which the client refuses even to begin. */
const refusedAtOnce = (request: MigrateRequest): Promise<Fault> =>
  untouched(async () => {
    const outcome: unknown = await stage.ferry.migrate(request).catch((error: unknown) => error);
    expect(outcome).toMatchObject({ name: 'VmFerryError' });
    return outcome as Fault;
  });

/** The report of a move that ended in its checks. */
const refusedByCheck = (request: MigrateRequest): Promise<MoveReport & { fault: Fault }> =>
  untouched(async () => {
    const report = await ended(await stage.ferry.migrate(request));
    expect(report).toMatchObject({ phase: 'failed', failedCompensations: [], vmOn: 'alpha' });
    const begun = report.steps.filter(({ state }) => state !== 'waiting' && state !== 'skipped');
    expect(begun.map(({ name, state }) => [name, state])).toEqual([['check', 'failed']]);
    expect(report.fault).toBeDefined();
    return report as MoveReport & { fault: Fault };
  });

describe('names', () => {
  it('of a host that nobody knows: the known ones are told', async () => {
    const { code, message, remedy } = await refusedAtOnce({ ...webToBeta, to: 'gamma' });
    expect(code).toBe('host-unknown');
    expect(message).toMatch(/no host gamma; known: alpha, beta/);
    expect(remedy).toContain('`vmferry hosts`');
  });

  it('of one host twice', async () => {
    const { code, message, remedy } = await refusedAtOnce({ ...webToBeta, to: 'alpha' });
    expect(code).toBe('same-host');
    expect(message).toMatch(/web cannot move from alpha to alpha/);
    expect(remedy).toContain('--to');
  });

  it('of a VM that is not there', async () => {
    const { code, message, remedy, host } = await refusedAtOnce({ ...webToBeta, vm: 'wbe' });
    expect({ code, host }).toEqual({ code: 'vm-not-found', host: 'alpha' });
    expect(message).toMatch(/alpha.*wbe/);
    expect(remedy).toContain('`vmferry vms`');
  });

  it('of a pool that the target has not: its own are told', async () => {
    const { fault } = await refusedByCheck({ ...webToBeta, targetPool: 'ssd' });
    expect(fault).toMatchObject({
      code: 'pool-missing',
      host: 'beta',
      message: 'beta has no pool ssd for disk vda of web',
      remedy: 'Name one with --pool; beta has: default, fast.',
    });
  });
});

describe('a second move', () => {
  it('of a VM that is being moved names the first', async () => {
    await defineTiny(alpha, { name: 'busy' });
    const busyToBeta = { ...webToBeta, vm: 'busy' };
    const first = await stage.ferry.migrate(busyToBeta);
    expect(await reached(first, 'awaiting-commit')).toMatchObject({ phase: 'awaiting-commit' });
    const { code, message, remedy } = await refusedAtOnce(busyToBeta);
    expect(code).toBe('move-already-running');
    expect(message).toContain(`busy is already being moved by ${first.id}`);
    expect(remedy).toContain('`vmferry status busy`');
    await first.rollback();
    expect(await ended(first)).toMatchObject({ phase: 'rolled-back', failedCompensations: [] });
    await undefineTiny(alpha, 'busy');
  });
});

describe('a target that has no place for the VM', () => {
  it('for want of room: both sizes are told', async () => {
    const giveBack = await fillPool(beta, 32 * mebibyte);
    try {
      const { fault } = await refusedByCheck(webToBeta);
      expect(fault).toMatchObject({ code: 'too-little-room', host: 'beta' });
      expect(fault.message).toMatch(
        /pool default of beta has \d+ MiB free; the disks need \d+ MiB/,
      );
      expect(fault.remedy).toContain('--pool');
    } finally {
      await giveBack();
    }
  });

  it.each([
    {
      what: 'its name',
      code: 'name-taken',
      options: () => ({ name: 'web' }),
      message: (uuid: string) => `beta already has another VM named web (${uuid})`,
      remedy: 'virsh domrename web',
    },
    {
      what: 'its UUID',
      code: 'uuid-taken',
      options: () => ({ name: 'copy', uuid: web.uuid }),
      message: () => `beta already has a VM with the UUID ${web.uuid}: copy`,
      remedy: 'virsh undefine copy',
    },
    {
      what: 'its MAC address',
      code: 'mac-taken',
      options: () => ({ name: 'twin', mac: webMac }),
      message: () => `VM twin on beta already has the MAC address ${webMac} of web`,
      remedy: 'virsh edit',
    },
  ])('because another VM has $what', async ({ code, options, message, remedy }) => {
    const other = await defineTiny(beta, options());
    try {
      const { fault } = await refusedByCheck(webToBeta);
      expect(fault).toMatchObject({ code, host: 'beta', message: message(other.uuid) });
      expect(fault.remedy).toContain(remedy);
    } finally {
      await undefineTiny(beta, other.name);
    }
  });

  it('because a file lies where its disk would go', async () => {
    await must(beta, 'vol-create-as', 'default', 'web.raw', '1M');
    try {
      const { fault } = await refusedByCheck(webToBeta);
      expect(fault).toMatchObject({ code: 'volume-exists', host: 'beta' });
      expect(fault.message).toMatch(/beta already has a volume default\/web\.raw.*disk vda of web/);
    } finally {
      await must(beta, 'vol-delete', '--pool', 'default', 'web.raw');
    }
  });

  it('for want of its bridge', async () => {
    await defineTiny(alpha, { name: 'bridged', mac: '52:54:00:aa:00:02', bridge: 'br-storage' });
    try {
      const { fault } = await refusedByCheck({ ...webToBeta, vm: 'bridged' });
      expect(fault).toMatchObject({ code: 'bridge-missing', host: 'beta' });
      expect(fault.message).toMatch(/beta has no bridge br-storage.*52:54:00:aa:00:02 of bridged/);
      expect(fault.remedy).toContain('Create the bridge on beta');
    } finally {
      await undefineTiny(alpha, 'bridged');
    }
  });
});

describe('a VM that cannot leave as it is', () => {
  it('because another VM has its disk', async () => {
    await defineTiny(alpha, { name: 'thief', disk: { path: web.diskPath } });
    try {
      const { fault } = await refusedByCheck(webToBeta);
      expect(fault).toMatchObject({ code: 'disk-in-use', host: 'alpha' });
      expect(fault.message).toMatch(
        /disk vda of web \(.*web\.raw\) also belongs to VM thief on alpha/,
      );
      expect(fault.remedy).toContain('Detach it from thief');
    } finally {
      await undefineTiny(alpha, 'thief');
    }
  });

  beforeAll(async () => {
    await defineTiny(alpha, { name: 'runs', disk: 'raw' });
  });
  afterAll(async () => undefineTiny(alpha, 'runs'));

  it('because it runs and may not be shut down; it runs on', async () => {
    await must(alpha, 'start', 'runs');
    const { fault } = await refusedByCheck({ ...webToBeta, vm: 'runs', shutdown: 'refuse' });
    expect(fault).toMatchObject({ code: 'vm-running', host: 'alpha' });
    expect(fault.message).toContain('runs runs on alpha, and --shutdown refuse');
    expect(fault.remedy).toContain('--shutdown graceful');
  });

  it('because it is paused', async () => {
    await must(alpha, 'suspend', 'runs');
    const { fault } = await refusedByCheck({ ...webToBeta, vm: 'runs' });
    expect(fault).toMatchObject({ code: 'vm-state', host: 'alpha' });
    expect(fault.message).toContain('runs on alpha is paused');
    expect(fault.remedy).toContain('virsh resume runs');
  });

  it('because libvirt keeps its memory for the next start', async () => {
    await must(alpha, 'resume', 'runs');
    await must(alpha, 'managedsave', 'runs');
    const { fault } = await refusedByCheck({ ...webToBeta, vm: 'runs' });
    expect(fault).toMatchObject({ code: 'managed-save', host: 'alpha' });
    expect(fault.message).toContain('runs on alpha has a managed save');
    expect(fault.remedy).toContain('virsh managedsave-remove runs');
  });

  it('because its snapshots would be lost', async () => {
    await defineTiny(alpha, { name: 'snapped', disk: 'qcow2' });
    try {
      await must(alpha, 'snapshot-create-as', 'snapped', 'before-update');
      const { fault } = await refusedByCheck({ ...webToBeta, vm: 'snapped' });
      expect(fault).toMatchObject({ code: 'snapshots', host: 'alpha' });
      expect(fault.message).toContain('before-update');
      expect(fault.remedy).toContain('virsh snapshot-delete snapped');
    } finally {
      await undefineTiny(alpha, 'snapped');
    }
  });
});

describe('a guard that is not live', () => {
  it.each(['alpha', 'beta'])('on %s stops every move', async (name) => {
    const host = stage.lab.host(name);
    const hook = host.rootOf(`${host.hooksDir}/qemu.d/50-vmferry`);
    await rename(hook, `${hook}.away`);
    // libvirt runs whatever is executable in there.
    try {
      await execa('chmod', ['-x', `${hook}.away`]);
      const { fault } = await refusedByCheck(webToBeta);
      expect(fault).toMatchObject({ code: 'guard-not-live', host: name });
      expect(fault.message).toContain(`the guard of ${name} is not live: libvirt started a probe`);
      expect(fault.remedy).toMatch(new RegExp(`vmferry host.*on ${name}.*restart libvirtd`));
    } finally {
      await execa('chmod', ['+x', `${hook}.away`]);
      await rename(`${hook}.away`, hook);
    }
  });
});

describe('a certificate that is not of the fleet', () => {
  const swaps = [
    {
      what: "the target's own",
      at: 'beta',
      files: ['client-cert', 'client-key'],
      message: /the export of alpha .*certificate/,
      remedy: 'certificates of the same fleet CA',
    },
    {
      what: "the source's own",
      at: 'alpha',
      files: ['server-cert', 'server-key'],
      message: /alpha cannot show .* over TLS: .*server-cert\.pem/,
      remedy: "Give alpha a certificate of the fleet's CA",
    },
    {
      what: 'the CA that the target trusts',
      at: 'beta',
      files: ['ca-cert'],
      message: /the export of alpha .*certificate/,
      remedy: 'certificates of the same fleet CA',
    },
  ] as const;

  it.each(swaps)(
    'ends the move in its checks, soon: $what',
    async ({ at, files, message, remedy }) => {
      const host = stage.lab.host(at);
      const folder = host.rootOf(host.pki.qemuDir);
      const strange = (file: string): string =>
        file.endsWith('-key')
          ? stage.lab.stranger.key
          : file === 'ca-cert'
            ? stage.lab.stranger.caCert
            : stage.lab.stranger.cert;
      for (const file of files) {
        await rename(join(folder, `${file}.pem`), join(folder, `${file}.kept`));
        await copyFile(strange(file), join(folder, `${file}.pem`));
      }
      try {
        const began = performance.now();
        const { fault } = await refusedByCheck(webToBeta);
        expect(performance.now() - began).toBeLessThan(30_000);
        expect(fault).toMatchObject({ code: 'source-tls-refused', host: at });
        expect(fault.message).toMatch(message);
        expect(fault.remedy).toContain(remedy);
      } finally {
        for (const file of files)
          await rename(join(folder, `${file}.kept`), join(folder, `${file}.pem`));
      }
    },
  );
});

describe('the command line', () => {
  const bin = new URL('../../../bin/vmferry', import.meta.url).pathname;
  const vmferry = async (...args: string[]) =>
    execa(bin, args, { reject: false, timeout: 60_000, env: { CI: '1' } });
  const migrate = ['migrate', 'web', '--from', 'alpha', '--to'];

  it('shows place and cause of what is wrong in the configuration, and exits with 2', async () => {
    const path = join(stage.dir, 'broken.yaml');
    const lines = (await readFile(stage.fleet.configPath, 'utf8')).split('\n');
    const at = lines.findIndex((line) => line.trim().startsWith('level:'));
    lines[at] = '  levle: info';
    await writeFile(path, lines.join('\n'));
    try {
      const done = await untouched(() => vmferry('--config', path, ...migrate, 'beta'));
      expect(done.exitCode).toBe(2);
      expect(done.stderr).toContain(`${path}:${at + 1}:3`);
      expect(done.stderr).toContain('levle');
      expect(done.stderr).toContain('remedy:');
    } finally {
      await rm(path);
    }
  });

  it('exits with 3 where the client refuses, and where a check does', async () => {
    const config = ['--config', stage.fleet.configPath];
    const unknown = await vmferry(...config, ...migrate, 'gamma');
    expect({ code: unknown.exitCode, out: unknown.stdout }).toEqual({ code: 3, out: '' });
    expect(unknown.stderr).toMatch(/error: .*no host gamma; known: alpha, beta/);
    const poolless = await vmferry(...config, ...migrate, 'beta', '--pool', 'ssd');
    expect(poolless.exitCode).toBe(3);
    expect(poolless.stdout + poolless.stderr).toMatch(/beta has no pool ssd for disk vda of web/);
    expect(poolless.stdout + poolless.stderr).toContain('beta has: default, fast');
  });
});

describe('a host without a worker', () => {
  it('as target ends the move in its checks, soon', async () => {
    await stage.fleet.worker('beta').kill9({ stayDown: true });
    try {
      const began = performance.now();
      const { fault } = await refusedByCheck(webToBeta);
      expect(performance.now() - began).toBeLessThan(40_000);
      expect(fault).toMatchObject({ code: 'worker-unreachable', host: 'beta' });
      expect(fault.message).toContain('no worker of beta took up: check');
      expect(fault.remedy).toContain('systemctl status vmferry-host');
    } finally {
      stage.fleet.worker('beta').start();
      await stage.fleet.ready();
    }
  });
});
