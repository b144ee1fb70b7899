/** What the lab lends to tests of faults: shared storage, storage that can be full, one-way cuts, and the witness. */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fillState, findQemu, killLibvirtd, killProcess9, stopProcess } from '../../lab/faults.ts';
import { Lab } from '../../lab/lab.ts';
import { cutControl, cutOneWay } from '../../lab/one-way.ts';
import { identify } from '../../lab/processes.ts';
import { RunLog } from '../../lab/runs.ts';
import { checkVmDisk } from '../../lab/vm.ts';
import { ask, hasAnswered } from './matrix/ask.ts';

const mebibyte = 1024 * 1024;
const soon = { timeoutMs: 20_000 };
const boot = { timeoutMs: 120_000 };
const patience = { timeout: 20_000 };

let root: string;
let lab: Lab;
let runs: RunLog;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'vmferry-support-'));
  lab = await Lab.up({
    dir: join(root, 'lab'),
    discard: root,
    name: `s${process.pid}`,
    poolBytes: 256 * mebibyte,
    stateBytes: 32 * mebibyte,
    shared: true,
  });
  runs = RunLog.follow(lab);
});
afterAll(async () => {
  runs.close();
  await lab.down();
  const loops = await execa('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE']);
  expect(loops.stdout.split('\n').filter((file) => file.includes(root))).toEqual([]);
  await rm(root, { recursive: true });
});

const on = async (host: string, ...command: string[]): Promise<string> =>
  (await lab.host(host).exec(command, soon)).stdout.trim();

it('shows one block device to all hosts, which lock it apart', async () => {
  const disk = await lab.addSharedBlock({ name: 'disk', sizeBytes: 64 * mebibyte });
  await on(
    'alpha',
    'sh',
    '-c',
    `echo written by alpha | dd of=${disk.path} conv=fsync status=none`,
  );
  expect(await on('beta', 'dd', `if=${disk.path}`, 'bs=16', 'count=1', 'status=none')).toBe(
    'written by alpha',
  );
  const numbers = await Promise.all(
    ['alpha', 'beta'].map((host) => on(host, 'stat', '-c', '%t:%T', disk.path)),
  );
  expect(numbers[0]).toMatch(/^7:/);
  expect(numbers[1]).toMatch(/^7:/);
  expect(numbers[0]).not.toBe(numbers[1]);
  await lab.removeSharedBlock('disk');
  await expect(on('beta', 'stat', disk.path)).rejects.toThrow(/No such file/);
});

it('makes block devices of large sectors, and gives them back after a reboot of the host', async () => {
  const disk = await lab.addSharedBlock({
    name: 'large',
    sizeBytes: 8 * mebibyte,
    sectorBytes: 4096,
  });
  expect(await on('alpha', 'blockdev', '--getss', disk.path)).toBe('4096');
  const numbers = await on('alpha', 'stat', '-c', '%t:%T', disk.path);
  await lab.host('alpha').kill();
  await lab.host('alpha').boot();
  expect(await on('alpha', 'stat', '-c', '%t:%T', disk.path)).toBe(numbers);
  await lab.removeSharedBlock('large');
});

it('shows one pool to all hosts', async () => {
  const path = `${lab.host('alpha').sharedPoolPath}/note`;
  await writeFile(lab.host('alpha').rootOf(path), 'from alpha');
  expect(await on('beta', 'cat', path)).toBe('from alpha');
  for (const host of ['alpha', 'beta']) {
    expect(await on(host, 'virsh', '-q', 'pool-list', '--name')).toContain('shared');
  }
});

it('fills the state folder of a host, which then takes nothing more', async () => {
  const beta = lab.host('beta');
  const release = await fillState(beta, 0);
  await expect(
    on('beta', 'dd', 'if=/dev/zero', `of=${beta.stateDir}/more`, 'bs=64k', 'count=16'),
  ).rejects.toThrow(/No space left/);
  await release();
  await on('beta', 'dd', 'if=/dev/zero', `of=${beta.stateDir}/more`, 'bs=64k', 'count=16');
  expect(
    (await readdir(beta.rootOf(beta.stateDir))).filter((name) => name.startsWith('filler')),
  ).toEqual([]);
});

it('waits with a question while a libvirtd is away, and takes neither silence nor a lost call for a refusal', async () => {
  const beta = lab.host('beta');
  const refused = await ask(beta, ['domstate', 'nobody']);
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toMatch(/failed to get domain 'nobody'/);

  // It has the connection and answers nothing, until it is dead.
  const daemon = identify(beta.libvirtd.pid)!;
  const goOn = stopProcess(daemon);
  const lost = beta.exec(['virsh', '-q', 'domstate', 'nobody'], { ...soon, reject: false });
  // Third word of the listener: how many wait to be let in.
  const isConnected = async (): Promise<boolean> =>
    /LISTEN\s+[1-9]\d*\s+\d+\s+\S*libvirt-sock\s/.test(await on('beta', 'ss', '-xlH'));
  await expect.poll(isConnected, patience).toBe(true);
  const restart = await killLibvirtd(beta);
  goOn();
  expect(hasAnswered(await lost)).toBe(false);

  const silent = await beta.exec(['virsh', '-q', 'domstate', 'nobody'], { ...soon, reject: false });
  expect(silent.stderr).toMatch(/Failed to connect socket/);
  expect(hasAnswered(silent)).toBe(false);
  await expect(ask(beta, ['domstate', 'nobody'], 1)).rejects.toMatchObject({ code: 'lab-timeout' });

  const waiting = ask(beta, ['domstate', 'nobody']);
  await restart();
  expect((await waiting).stderr).toBe(refused.stderr);
});

it('cuts one direction, and only that one', async () => {
  const listener = lab
    .host('beta')
    .spawn(['socat', '-u', 'UDP-RECV:5001', 'STDOUT'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const back = lab
    .host('alpha')
    .spawn(['socat', '-u', 'UDP-RECV:5001', 'STDOUT'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const heard = { beta: '', alpha: '' };
  listener.stdout?.on('data', (data) => (heard.beta += String(data)));
  back.stdout?.on('data', (data) => (heard.alpha += String(data)));
  const say = (from: string, to: string, word: string): Promise<string> =>
    on(from, 'sh', '-c', `echo ${word} | socat -u - UDP-SENDTO:${lab.host(to).address}:5001`);
  // A datagram before the listeners are there is lost: each is repeated until it is heard.
  const heardOf = (who: 'alpha' | 'beta', from: string, word: string) =>
    expect.poll(async () => (await say(from, who, word), heard[who]), patience).toContain(word);
  await heardOf('beta', 'alpha', 'first');
  await heardOf('alpha', 'beta', 'first');

  const mend = await cutOneWay(lab, { from: 'alpha', to: 'beta' });
  for (let i = 0; i < 3; i += 1) await say('alpha', 'beta', 'lost');
  await heardOf('alpha', 'beta', 'crossed');
  await mend();
  await heardOf('beta', 'alpha', 'mended');
  expect(heard.beta).not.toContain('lost');

  const mendControl = await cutControl(lab, 'alpha');
  const ping = (): Promise<string> =>
    on('alpha', 'socat', '-u', '/dev/null', `TCP:${lab.controlAddress}:9,connect-timeout=1`);
  await expect(ping()).rejects.toThrow(/timed out|Connection timed out/i);
  await mendControl();
  await expect(ping()).rejects.toThrow(/refused/i);
  listener.kill();
  back.kill();
});

it('tells each life of a guest, also one that ends by kill -9, and a second copy beside it', async () => {
  const block = await lab.addSharedBlock({ name: 'guest', sizeBytes: 32 * mebibyte });
  const vm = await lab.createVm('alpha', {
    name: 'seen',
    witnessed: true,
    dataDisk: { sizeMiB: 32, fillMiB: 4, blockPath: block.path },
  });
  await on('alpha', 'virsh', '-q', 'start', 'seen');
  await lab.waitForConsole('alpha', 'seen', /tick 3\n/, boot);
  const [first] = runs.of(vm.uuid);
  expect(first).toMatchObject({ host: 'alpha', beside: false });
  expect(first?.endNs).toBeUndefined();
  const qemu = await findQemu(lab.host('alpha'), 'seen');
  expect(qemu?.pid).toBe(first?.pid);

  // Standing still it runs all the same: it holds the lock of the witness, though QEMU's own locks say nothing here.
  const goOn = stopProcess(qemu!);
  const xml = await on('alpha', 'virsh', '-q', 'dumpxml', '--inactive', 'seen');
  await writeFile(lab.host('beta').rootOf('/run/seen.xml'), xml);
  await on('beta', 'virsh', '-q', 'create', '/run/seen.xml');
  const second = await runs.until(vm.uuid, ({ host }) => host === 'beta', {
    ...boot,
    what: 'beta',
  });
  expect(second.beside).toBe(true);
  await on('beta', 'virsh', '-q', 'destroy', 'seen');
  await runs.until(vm.uuid, (run) => run.host === 'beta' && run.endNs !== undefined, {
    ...soon,
    what: 'its end',
  });
  goOn();

  await killProcess9(identify(qemu!.pid)!);
  const ended = await runs.until(
    vm.uuid,
    (run) => run.host === 'alpha' && run.endNs !== undefined,
    { ...soon, what: 'its end' },
  );
  expect(ended.endNs).toBeGreaterThan(ended.startNs);
  await expect
    .poll(() => on('alpha', 'virsh', '-q', 'domstate', 'seen'), patience)
    .toBe('shut off');
  await on('alpha', 'virsh', '-q', 'start', 'seen');
  const third = await runs.until(vm.uuid, (run) => run !== first && run.host === 'alpha', {
    ...soon,
    what: 'its next life',
  });
  expect(third.beside).toBe(false);
  await lab.waitForConsole('alpha', 'seen', /blocks ok=\d+ bad=0[^]*tick/, boot);
  await on('alpha', 'virsh', '-q', 'destroy', 'seen');
  await runs.until(vm.uuid, ({ pid, endNs }) => pid === third.pid && endNs !== undefined, {
    ...soon,
    what: 'its end',
  });
  const disk = await checkVmDisk(lab.host('alpha'), vm);
  expect(disk.bad).toBe(0);
  const log = await readFile(join(lab.dir, 'witness', 'runs.log'), 'utf8');
  expect(log.match(/^start /gm)).toHaveLength(3);
  await expect
    .poll(
      () =>
        readFile(join(lab.dir, 'witness', 'runs.log'), 'utf8').then(
          (text) => text.match(/^exit /gm)?.length,
        ),
      patience,
    )
    .toBe(3);
});
