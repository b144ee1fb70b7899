import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile, copyFile, chmod } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cutLink, fillPool, findQemu, killLibvirtd, killProcess9 } from '../../lab/faults.ts';
import { Lab } from '../../lab/lab.ts';
import { namedNetworkNamespace } from '../../lab/processes.ts';
import { labStatus } from '../../lab/status.ts';
import { checkVmDisk } from '../../lab/vm.ts';
import type { LabVm } from '../../lab/vm.ts';
import { namespacesOf, traces } from './traces.ts';

const mebibyte = 1024 * 1024;
const soon = { timeoutMs: 20_000 };
const boot = { timeoutMs: 60_000 };
const name = `t${process.pid}`;
const poolBytes = 512 * mebibyte;

let root: string;
let lab: Lab;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'vmferry-lab-'));
  lab = await Lab.up({ dir: join(root, 'one'), discard: root, name, poolBytes });
});
afterAll(async () => {
  await Lab.down({ dir: join(root, 'one') });
  await rm(root, { recursive: true });
});

const virsh = async (host: string, ...args: string[]): Promise<string> =>
  (await lab.host(host).exec(['virsh', '-q', ...args], soon)).stdout.trim();

describe('hosts', () => {
  it('are separate libvirt hosts with their own names, pools and network', async () => {
    expect(await virsh('alpha', 'hostname')).toBe('alpha');
    expect(await virsh('beta', 'hostname')).toBe('beta');
    expect(lab.host('alpha').uuid).not.toBe(lab.host('beta').uuid);
    expect(await virsh('alpha', 'capabilities')).toContain(lab.host('alpha').uuid);
    expect(await virsh('alpha', 'pool-list', '--name')).toMatch(/default\s+fast/);
    expect(await virsh('alpha', 'net-list', '--name')).toBe('default');
  });

  it("leave the machine's /etc alone", async () => {
    const write = await lab.host('alpha').exec(['touch', '/etc/mark'], { ...soon, reject: false });
    expect(write.stderr).toContain('Read-only');
  });

  it('speak libvirt over TLS to each other, and not over plain TCP', async () => {
    expect(await virsh('alpha', '-c', 'qemu+tls://198.51.100.12/system', 'hostname')).toBe('beta');
    await expect(
      virsh('alpha', '-c', 'qemu+tcp://198.51.100.12/system', 'hostname'),
    ).rejects.toThrow(/Connection refused/);
  });

  it("refuse a stranger's certificate, and take the fleet's in the same place", async () => {
    const alpha = lab.host('alpha');
    const folder = '/var/lib/vmferry/stranger';
    const uri = `qemu+tls://198.51.100.12/system?pkipath=${folder}`;
    await mkdir(alpha.rootOf(folder));
    await copyFile(alpha.rootOf(alpha.pki.caCert), alpha.rootOf(`${folder}/cacert.pem`));
    await copyFile(lab.stranger.cert, alpha.rootOf(`${folder}/clientcert.pem`));
    await copyFile(lab.stranger.key, alpha.rootOf(`${folder}/clientkey.pem`));
    await expect(virsh('alpha', '-c', uri, 'hostname')).rejects.toThrow(/certificate/i);
    await copyFile(alpha.rootOf(alpha.pki.cert), alpha.rootOf(`${folder}/clientcert.pem`));
    await copyFile(alpha.rootOf(alpha.pki.key), alpha.rootOf(`${folder}/clientkey.pem`));
    expect(await virsh('alpha', '-c', uri, 'hostname')).toBe('beta');
  });

  it('run commands whose pid is their own, so that a kill reaches them', async () => {
    const child = lab.host('beta').spawn(['sleep', '60'], { stdio: 'ignore' });
    const told = await lab
      .host('beta')
      .exec(['sh', '-c', 'echo $$; readlink /proc/self/ns/net'], soon);
    expect(told.stdout).toContain(`[${namedNetworkNamespace(lab.host('beta').netns)}]`);
    await expect
      .poll(() => readFile(`/proc/${child.pid}/cmdline`, 'utf8'), { timeout: 5_000 })
      .toBe('sleep\x0060\0');
    process.kill(child.pid!, 'SIGKILL');
    const [, signal] = (await once(child, 'exit')) as [number | null, string];
    expect(signal).toBe('SIGKILL');
  });

  it('see a hook once libvirtd is told to reload', async () => {
    const alpha = lab.host('alpha');
    const hook = alpha.rootOf(`${alpha.hooksDir}/qemu`);
    await lab.createVm('alpha', { name: 'hooked', nic: false });
    await writeFile(hook, '#!/bin/sh\n[ "$2" = prepare ] || exit 0\necho not today >&2\nexit 1\n');
    await chmod(hook, 0o755);
    await alpha.libvirtd.reload();
    await expect(virsh('alpha', 'start', 'hooked')).rejects.toThrow(/not today/);
    await rm(hook);
    await alpha.libvirtd.reload();
    await virsh('alpha', 'undefine', 'hooked');
  });
});

describe('a guest', () => {
  let vm: LabVm;
  beforeAll(async () => {
    const dataDisk = { sizeMiB: 128, fillMiB: 16 };
    vm = await lab.createVm('alpha', { name: 'guest', dataDisk });
    await virsh('alpha', 'start', 'guest');
  });

  const tickNow = async (): Promise<number> => {
    const shown = await lab.waitForConsole('alpha', 'guest', /tick (\d+)\n(?![^]*tick)/, soon);
    return Number(shown[1]);
  };

  it('boots, finds its disk whole and ticks', async () => {
    const first = await lab.waitForConsole('alpha', 'guest', /boot=(\d+) counter=(\d+)\n/, boot);
    expect(first.slice(1)).toEqual(['1', '0']);
    await lab.waitForConsole('alpha', 'guest', /tick 3\n/, boot);
    const blocks = await lab.waitForConsole('alpha', 'guest', /blocks ok=(\d+) bad=(\d+)/, boot);
    expect(blocks.slice(1)).toEqual(['40', '0']);
  });

  it('is buried by its own host, without a wait for the first process of the machine', async () => {
    const qemu = await findQemu(lab.host('alpha'), 'guest');
    const status = await readFile(`/proc/${qemu?.pid}/status`, 'utf8');
    const parent = /^PPid:\s+(\d+)$/m.exec(status)?.[1] ?? '';
    expect(await readFile(`/proc/${parent}/cmdline`, 'utf8')).toContain('start-daemon');
  });

  it("survives libvirtd's death and is found again", async () => {
    const alpha = lab.host('alpha');
    const before = await tickNow();
    const restart = await killLibvirtd(alpha);
    await lab.waitForConsole('alpha', 'guest', new RegExp(`tick ${before + 3}\n`), soon);
    await restart();
    expect(await virsh('alpha', 'domstate', 'guest')).toBe('running');
  });

  it('powers off cleanly at the ACPI button', async () => {
    await virsh('alpha', 'shutdown', 'guest');
    const off = await lab.waitForConsole('alpha', 'guest', /power off counter=(\d+)\n/, soon);
    await expect
      .poll(() => virsh('alpha', 'domstate', 'guest'), { timeout: 10_000 })
      .toBe('shut off');
    const disk = await checkVmDisk(lab.host('alpha'), vm);
    expect(disk).toMatchObject({ boot: 1, counter: Number(off[1]), bad: 0 });
    expect(disk.ok).toBe(40 + Math.min(64, disk.counter));
  });

  it('goes on from its counter after a restart, and loses no tick that it printed to kill -9', async () => {
    const before = (await checkVmDisk(lab.host('alpha'), vm)).counter;
    await virsh('alpha', 'start', 'guest');
    const started = await lab.waitForConsole('alpha', 'guest', /boot=(\d+) counter=(\d+)\n/, boot);
    expect(started.slice(1)).toEqual(['2', String(before)]);
    await lab.waitForConsole('alpha', 'guest', new RegExp(`tick ${before + 2}\n`), boot);
    const qemu = await findQemu(lab.host('alpha'), 'guest');
    await killProcess9(qemu!);
    const printed = await tickNow();
    const disk = await checkVmDisk(lab.host('alpha'), vm);
    expect(disk.bad).toBe(0);
    expect(disk.counter - printed).toBeGreaterThanOrEqual(0);
    expect(disk.counter - printed).toBeLessThanOrEqual(1);
  });

  it('shows a disk that was changed behind its back', async () => {
    const dataDisk = { sizeMiB: 64, fillMiB: 4, format: 'qcow2', pool: 'fast' } as const;
    const other = await lab.createVm('beta', { name: 'other', dataDisk });
    const beta = lab.host('beta');
    expect(await checkVmDisk(beta, other)).toMatchObject({ boot: 0, ok: 40, bad: 0 });
    const write = ['qemu-io', '-f', 'qcow2', '-c', 'write -P 0x5a 1M 63M', other.diskPath];
    await beta.exec(write, soon);
    expect((await checkVmDisk(beta, other)).bad).toBe(40);
  });
});

describe('faults', () => {
  const reach = async (): Promise<boolean> => {
    const knock = ['socat', '-u', 'OPEN:/dev/null', 'TCP:198.51.100.12:16514,connect-timeout=1'];
    return !(await lab.host('alpha').exec(knock, { ...soon, reject: false })).failed;
  };

  it('cut a cable silently and mend it', async () => {
    expect(await reach()).toBe(true);
    const mend = await cutLink(lab, 'beta');
    expect(await reach()).toBe(false);
    await mend();
    expect(await reach()).toBe(true);
  });

  it('cap the rate of a cable and lift the cap', async () => {
    const transferMs = async (): Promise<number> => {
      const sink = lab
        .host('beta')
        .spawn(['socat', '-u', 'TCP-LISTEN:5000,reuseaddr', 'OPEN:/dev/null'], { stdio: 'ignore' });
      const closed = once(sink, 'exit');
      const send =
        'head -c 4000000 /dev/zero | socat -u - TCP:198.51.100.12:5000,retry=100,interval=0.02';
      const started = performance.now();
      await lab.host('alpha').exec(['sh', '-c', send], soon);
      await closed;
      return performance.now() - started;
    };
    await lab.setLink('beta', { mbitPerSecond: 20 });
    // 32 Mbit at 20 Mbit/s, less the burst that passes at once.
    expect(await transferMs()).toBeGreaterThan(1_300);
    await lab.setLink('beta', { mbitPerSecond: 0 });
    // The best of three: a busy machine may be slow at any one of them.
    const uncapped = [await transferMs(), await transferMs(), await transferMs()];
    expect(Math.min(...uncapped)).toBeLessThan(1_300);
  });

  it('fill the storage of a host and give the room back', async () => {
    const beta = lab.host('beta');
    const write = [
      'dd',
      'if=/dev/zero',
      `of=${beta.poolPath}/big`,
      'bs=1M',
      'count=32',
      'conv=fsync',
    ];
    const release = await fillPool(beta, 8 * mebibyte);
    const full = await beta.exec(write, { ...soon, reject: false });
    expect(full.stderr).toContain('No space left on device');
    await release();
    expect((await beta.exec(write, soon)).exitCode).toBe(0);
  });

  it('freeze a whole host and thaw it', async () => {
    const beta = lab.host('beta');
    const ask = ['virsh', '-q', '-c', 'qemu+tls://198.51.100.12/system', 'hostname'];
    await beta.freeze();
    const silent = await lab.host('alpha').exec(ask, { timeoutMs: 1_000, reject: false });
    expect(silent.timedOut).toBe(true);
    expect((await labStatus(lab))[1]).toMatchObject({ name: 'beta', state: 'frozen' });
    await beta.thaw();
    expect((await lab.host('alpha').exec(ask, soon)).stdout.trim()).toBe('beta');
  });

  it("take a host's power and give it back, with its VMs defined as before", async () => {
    const beta = lab.host('beta');
    const file = beta.rootOf(`${beta.poolPath}/keep`);
    await writeFile(file, 'kept');
    await beta.kill();
    expect(beta.isUp).toBe(false);
    expect(() => beta.pid).toThrow(/is off/);
    expect((await labStatus(lab))[1]).toMatchObject({ name: 'beta', state: 'off' });
    await beta.boot();
    expect(await readFile(beta.rootOf(`${beta.poolPath}/keep`), 'utf8')).toBe('kept');
    expect((await labStatus(lab))[1]).toMatchObject({
      state: 'up',
      vms: [{ name: 'other', state: 'shut off' }],
    });
  });
});

describe('doors', () => {
  it("lead from the hosts to a service on the machine's loopback", async () => {
    const server = createServer((socket) => socket.end('hello from the machine'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await lab.forward({ insidePort: 7233, to: { host: '127.0.0.1', port } });
    for (const host of lab.hosts) {
      const heard = await host.exec(['socat', '-u', 'TCP:198.51.100.1:7233', '-'], soon);
      expect(heard.stdout).toBe('hello from the machine');
    }
    server.close();
  });

  it('lead from the machine to a service of a host', async () => {
    const serve = [
      'socat',
      '-U',
      'TCP-LISTEN:6000,reuseaddr,fork',
      'SYSTEM:echo hello from $(hostname)',
    ];
    const service = lab.host('alpha').spawn(serve, { stdio: 'ignore' });
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port: outsidePort } = probe.address() as AddressInfo;
    probe.close();
    await lab.expose({ outsidePort, host: 'alpha', port: 6000 });
    const hear = (): Promise<string> => text(connect(outsidePort, '127.0.0.1'));
    await expect.poll(hear, { timeout: 5_000 }).toBe('hello from alpha\n');
    service.kill();
    await once(service, 'exit');
  });
});

describe('a lab', () => {
  it('is found again by its folder, and not made twice', async () => {
    const again = await Lab.attach({ dir: lab.dir });
    expect((await again.host('alpha').exec(['hostname'], soon)).stdout).toBe('alpha');
    await expect(Lab.up({ dir: lab.dir, name })).rejects.toMatchObject({ code: 'lab-already-up' });
    await expect(Lab.up({ dir: join(root, 'rival'), name })).rejects.toMatchObject({
      code: 'lab-name-taken',
    });
    expect(lab.host('alpha').isUp).toBe(true);
  });

  it('stands beside another, and goes without a trace or a scratch to it', async () => {
    const dir = join(root, 'two');
    const secondName = `${name}b`;
    const second = await Lab.up({
      dir,
      name: secondName,
      hosts: ['alpha'],
      poolBytes: 64 * mebibyte,
    });
    const namespaces = namespacesOf(second);
    await second.forward({ insidePort: 7233, to: { host: '127.0.0.1', port: 9 } });
    await second.createVm('alpha', { name: 'guest', dataDisk: { sizeMiB: 16 }, autostart: true });
    await second.host('alpha').exec(['virsh', 'start', 'guest'], soon);
    expect((await labStatus(second))[0]?.vms).toEqual([{ name: 'guest', state: 'running' }]);
    expect((await traces(secondName, dir, namespaces)).length).toBeGreaterThan(8);
    await second.down();
    expect(await traces(secondName, dir, namespaces)).toEqual([]);
    await second.down();
    expect(await virsh('alpha', 'hostname')).toBe('alpha');
    expect((await traces(name, lab.dir, namespacesOf(lab))).length).toBeGreaterThan(8);
  });

  it('is removed by its state file when its maker was killed in the middle', async () => {
    const dir = join(root, 'three');
    const thirdName = `${name}c`;
    const source = `
      import { Lab } from ${JSON.stringify(join(import.meta.dirname, '../../lab/lab.ts'))};
      await Lab.up({ dir: ${JSON.stringify(dir)}, name: '${thirdName}', poolBytes: ${64 * mebibyte}, stays: true, onStep: console.log });`;
    const maker = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(maker, 'exit');
    for await (const line of createInterface(maker.stdout)) if (line.startsWith('switch')) break;
    await expect
      .poll(() => namedNetworkNamespace(`${thirdName}-beta`), { timeout: 5_000 })
      .toBeDefined();
    maker.kill('SIGKILL');
    await gone;
    await Lab.down({ dir });
    expect(await traces(thirdName, dir, [])).toEqual([]);
  });
});
