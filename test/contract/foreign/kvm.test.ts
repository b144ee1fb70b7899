/** A foreign KVM host by SSH alone: a real libvirtd, sshd, qemu-nbd and QEMU; the guests have no operating system. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdtemp,
  open,
  readFile,
  readdir,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ForeignVm } from '../../../domain/foreign.ts';
import type { DiskSource } from '../../../domain/platform.ts';
import type { SaslCredentials } from '../../../protocols/libvirt/index.ts';
import {
  fileDisk,
  mebibyte,
  run,
  sshdIsHere,
  startForeignKvm,
  startForeignKvmOfAUser,
  writeRaw,
} from './kvm-fixture.ts';
import type { ForeignKvm } from './kvm-fixture.ts';
import { describeForeignSource } from './suite.ts';

if (!sshdIsHere) console.warn('! No /usr/sbin/sshd here: foreign KVM hosts are NOT tried.');

const saslIsHere = existsSync('/usr/sbin/saslpasswd2');
if (!saslIsHere)
  console.warn('! No saslpasswd2 (sasl2-bin) here: SASL of a foreign host is NOT tried.');

let kvm: ForeignKvm;
/** Off: a qcow2 and a raw disk. */
const stillMac = '52:54:00:aa:bb:01';
/** Runs, and is never rebooted; its disk is what a test wrote last. */
let busy = '';

const at = (name: string): string => join(kvm.pool, name);
const wholeOf = async (disk: DiskSource): Promise<Buffer> => {
  const bytes = Buffer.alloc(disk.sizeBytes);
  await disk.read(0, bytes);
  return bytes;
};
/** Writes into a running guest's disk as the guest would. */
const scribble = (vm: string, pattern: string): Promise<string> =>
  kvm.virsh(
    'qemu-monitor-command',
    vm,
    '--hmp',
    `qemu-io -d ${blockDevice} "write -P ${pattern} 1M 1M"`,
  );
const blockDevice = '/machine/peripheral/virtio-disk0/virtio-backend';

beforeAll(async () => {
  if (!sshdIsHere) return;
  kvm = await startForeignKvm();
  await writeRaw(at('still.raw'), { sizeMiB: 8, dataMiB: 3 });
  await writeRaw(at('draft.raw'), { sizeMiB: 16, dataMiB: 4 });
  await run('qemu-img', [
    'convert',
    '-f',
    'raw',
    '-O',
    'qcow2',
    at('draft.raw'),
    at('still.qcow2'),
  ]);
  const nic = `<interface type='ethernet'><mac address='${stillMac}'/><model type='e1000'/></interface>`;
  await kvm.define('still', {
    disks: fileDisk(at('still.qcow2'), 'qcow2') + fileDisk(at('still.raw'), 'raw', 'vdb'),
    nics: nic,
  });
  await writeRaw(at('busy.raw'), { sizeMiB: 8, dataMiB: 4 });
  busy = await kvm.define('busy', { disks: fileDisk(at('busy.raw')) });
  await kvm.virsh('start', 'busy');
});
afterAll(async () => {
  if (sshdIsHere) await kvm.end();
});

const facts: Partial<ForeignVm> = {
  ...{ state: 'shut-off', cpus: 1, arch: 'x86_64', firmware: 'bios', secureBoot: false },
  ...{ tpm: false, coresPerSocket: 1, cdroms: [], snapshots: [], memoryBytes: 32 * mebibyte },
};

describe.skipIf(!sshdIsHere)('a foreign KVM host', () => {
  describeForeignSource({
    name: 'a VM that is off, by qemu-nbd',
    vm: () => ({
      name: 'still',
      facts: {
        ...facts,
        nics: [{ key: '0', mac: stillMac, network: '', model: 'e1000', connected: true }],
      },
      disks: { vda: at('draft.raw'), vdb: at('still.raw') },
    }),
    open: () => Promise.resolve(kvm.source()),
    traces: () => kvm.traces(),
  });

  describeForeignSource({
    name: 'a VM that is off, by SFTP',
    vm: () => ({ name: 'still', facts, disks: { vdb: at('still.raw') } }),
    open: () => Promise.resolve(kvm.source({ offPath: 'sftp' })),
    traces: () => kvm.traces(),
  });

  describeForeignSource({
    name: 'a VM that runs, by a pull backup',
    vm: () => ({ name: 'busy', facts: { state: 'running' }, disks: { vda: at('busy.raw') } }),
    open: () => Promise.resolve(kvm.source()),
    traces: () => kvm.traces(),
  });
});

describe.skipIf(!sshdIsHere)('a disk of a guest that runs', () => {
  it('shows one moment, whatever the guest writes meanwhile, and the guest runs on', async () => {
    await using source = kvm.source();
    const vm = await source.inspect('busy');
    const before = await readFile(at('busy.raw'));
    const { source: disk } = await source.openDisk(vm, 'vda');
    await scribble('busy', '0xab');
    expect((await readFile(at('busy.raw'))).subarray(mebibyte, 2 * mebibyte)).toEqual(
      Buffer.alloc(mebibyte, 0xab),
    );
    expect((await wholeOf(disk)).equals(before)).toBe(true);
    expect(await source.state(vm.id)).toBe('running');
    await source.verifyUnchanged(vm);
  });

  it('has another fingerprint for each backup', async () => {
    const prints = new Set<string>();
    for (let nth = 0; nth < 2; nth += 1) {
      await using source = kvm.source();
      prints.add((await source.openDisk(await source.inspect('busy'), 'vda')).fingerprint);
    }
    expect(prints.size).toBe(2);
  });

  it('is paused for the copy where the options say so, and found out if it did not stay so', async () => {
    await using source = kvm.source({ whileRunning: 'pause' });
    const vm = await source.inspect('busy');
    const { source: disk } = await source.openDisk(vm, 'vda');
    expect(await source.state(vm.id)).toBe('paused');
    expect((await wholeOf(disk)).equals(await readFile(at('busy.raw')))).toBe(true);
    await source.verifyUnchanged(vm);
    await expect(source.requestShutdown(vm.id)).rejects.toMatchObject({
      code: 'shutdown-unsupported',
    });
    await source.resume(vm.id);
    expect(await source.state(vm.id)).toBe('running');
    await expect(source.verifyUnchanged(vm)).rejects.toMatchObject({ code: 'source-changed' });
  });

  it('is a lost source, to be tried again, once the guest is powered off under it', async () => {
    await using source = kvm.source();
    const uuid = await kvm.define('brief', { disks: fileDisk(at('brief.raw')) });
    await copyFile(at('still.raw'), at('brief.raw'));
    await kvm.virsh('start', 'brief');
    const { source: disk } = await source.openDisk(await source.inspect(uuid), 'vda');
    await source.forceOff(uuid);
    expect(await source.state(uuid)).toBe('shut-off');
    await expect(wholeOf(disk)).rejects.toMatchObject({ handling: 'transient' });
    await kvm.virsh('undefine', 'brief');
  });
});

/** Of SSH, on that host. */
async function sessions({ libvirtd }: ForeignKvm): Promise<number> {
  const { stdout } = await libvirtd.exec('ps', '-eo', 'args');
  return stdout.split('\n').filter((line) => /^sshd: root(?!.*priv)/.test(line)).length;
}

describe.skipIf(!sshdIsHere)('a large disk', () => {
  it('is read by sessions of its own, which end with it', async () => {
    await writeRaw(at('large.raw'), { sizeMiB: 96, dataMiB: 12 });
    await kvm.define('large', { disks: fileDisk(at('large.raw')) });
    const before = await sessions(kvm);
    {
      await using source = kvm.source();
      const { source: disk } = await source.openDisk(await source.inspect('large'), 'vda');
      // One for all else.
      expect((await sessions(kvm)) - before).toBeGreaterThan(2);
      const [whole, wanted] = [await wholeOf(disk), await readFile(at('large.raw'))];
      expect(whole.equals(wanted)).toBe(true);
      const stop = new AbortController();
      const reading = disk.read(0, Buffer.alloc(32 * mebibyte), stop.signal);
      stop.abort();
      await expect(reading).rejects.toMatchObject({ code: 'cancelled' });
    }
    await expect.poll(() => sessions(kvm), { timeout: 10_000 }).toBe(before);
  });

  it.each([
    {
      host: 'takes the key no more',
      code: 'ssh-login-refused',
      refuse: ({ dir }: ForeignKvm) => truncate(join(dir, 'user-key.pub')),
    },
    {
      host: 'listens no more',
      code: 'ssh-unreachable',
      refuse: async ({ libvirtd }: ForeignKvm) => {
        const { stdout } = await libvirtd.exec('pgrep', '-f', '^sshd: .*listener');
        await libvirtd.exec('kill', '-9', stdout.trim());
      },
    },
  ])('is read by the one session that there is, where the host $host', async ({ refuse, code }) => {
    const narrow = await startForeignKvm();
    try {
      const file = join(narrow.pool, 'large.raw');
      await writeRaw(file, { sizeMiB: 96, dataMiB: 12 });
      await narrow.define('large', { disks: fileDisk(file) });
      await using source = narrow.source();
      const vm = await source.inspect('large');
      await refuse(narrow);
      await using other = narrow.source();
      await expect(other.inspect('large')).rejects.toMatchObject({ code });
      const { source: disk } = await source.openDisk(vm, 'vda');
      expect(await sessions(narrow)).toBe(1);
      expect((await wholeOf(disk)).equals(await readFile(file))).toBe(true);
      await source.verifyUnchanged(vm);
    } finally {
      await narrow.end();
    }
  });
});

describe.skipIf(!sshdIsHere)('a copy of a VM that is off', () => {
  it('is told at the end that the file was written meanwhile', async () => {
    await using source = kvm.source();
    const vm = await source.inspect('still');
    await source.openDisk(vm, 'vdb');
    await source.verifyUnchanged(vm);
    const file = await open(at('still.raw'), 'r+');
    const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, 0);
    expect(bytesRead).toBe(1);
    await file.write(buffer, 0, 1, 0);
    await file.close();
    await expect(source.verifyUnchanged(vm)).rejects.toMatchObject({
      code: 'source-changed',
      handling: 'unsafe',
    });
  });

  it('is told at the end that the VM was started, which the open disk does not keep it from', async () => {
    await using source = kvm.source();
    const vm = await source.inspect('still');
    await source.openDisk(vm, 'vdb');
    await kvm.virsh('start', 'still');
    try {
      await expect(source.verifyUnchanged(vm)).rejects.toMatchObject({ code: 'source-changed' });
    } finally {
      await kvm.virsh('destroy', 'still');
    }
  });

  it('falls back to SFTP for a raw disk where there is no qemu-nbd, and says what a qcow2 needs', async () => {
    const bare = await startForeignKvm(['SetEnv HOME=/nonexistent PATH=/nowhere:/bin:/usr/bin']);
    try {
      await writeRaw(join(bare.pool, 'one.raw'), { sizeMiB: 4, dataMiB: 1 });
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', join(bare.pool, 'two.qcow2'), '4M']);
      // Whoever writes an image's header may state any size: the others are shown all the same.
      await writeRaw(join(bare.pool, 'odd.qcow2'), { sizeMiB: 4, dataMiB: 1 });
      const disks =
        fileDisk(join(bare.pool, 'one.raw')) +
        fileDisk(join(bare.pool, 'two.qcow2'), 'qcow2', 'vdb') +
        fileDisk(join(bare.pool, 'odd.qcow2'), 'qcow2', 'vdc');
      await bare.define('plain', { disks });
      await bare.libvirtd.exec('mount', '--bind', '/dev/null', '/usr/bin/qemu-nbd');
      await using source = bare.source();
      const vm = await source.inspect('plain');
      const { source: disk } = await source.openDisk(vm, 'vda');
      expect((await wholeOf(disk)).equals(await readFile(join(bare.pool, 'one.raw')))).toBe(true);
      await expect(source.openDisk(vm, 'vdb')).rejects.toMatchObject({
        handling: 'needs-operator',
        host: 'elsewhere',
      });
    } finally {
      await bare.end();
    }
  });
});

describe.skipIf(!sshdIsHere)('a user of the host who is not root', () => {
  let theirs: ForeignKvm;
  const inPool = (name: string): string => join(theirs.pool, name);
  beforeAll(async () => {
    theirs = await startForeignKvmOfAUser();
    await writeRaw(inPool('one.raw'), { sizeMiB: 8, dataMiB: 3 });
    await run('qemu-img', [
      ...['convert', '-f', 'raw', '-O', 'qcow2', inPool('one.raw'), inPool('two.qcow2')],
    ]);
    await writeRaw(inPool('secret.raw'), { sizeMiB: 4, dataMiB: 1 });
    await chmod(inPool('secret.raw'), 0o600);
    await theirs.define('plain', {
      disks:
        fileDisk(inPool('one.raw')) +
        fileDisk(inPool('two.qcow2'), 'qcow2', 'vdb') +
        fileDisk(inPool('secret.raw'), 'raw', 'vdc'),
    });
    await writeRaw(inPool('busy.raw'), { sizeMiB: 4, dataMiB: 1 });
    await theirs.define('busy', { disks: fileDisk(inPool('busy.raw')) });
    await theirs.virsh('start', 'busy');
  });
  afterAll(() => theirs.end());

  it.each(['nbd', 'sftp'] as const)(
    'whose group may use libvirt reads the disks of a VM that is off, by %s',
    async (road) => {
      await using source = theirs.source(road === 'sftp' ? { offPath: 'sftp' } : {});
      const vm = await source.inspect('plain');
      for (const name of road === 'sftp' ? ['vda'] : ['vda', 'vdb']) {
        const { source: disk } = await source.openDisk(vm, name);
        expect((await wholeOf(disk)).equals(await readFile(inPool('one.raw')))).toBe(true);
      }
      await source.verifyUnchanged(vm);
      await source[Symbol.asyncDispose]();
      await expect.poll(() => theirs.traces()).toEqual([]);
    },
  );

  it('is told what to do about a disk that they may not read', async () => {
    await using source = theirs.source();
    const vm = await source.inspect('plain');
    await expect(source.openDisk(vm, 'vdc')).rejects.toMatchObject({
      ...{ code: 'disk-not-permitted', handling: 'needs-operator', host: 'elsewhere' },
    });
  });

  it('is told what to do about a VM that runs, and no backup is left', async () => {
    await using source = theirs.source();
    const vm = await source.inspect('busy');
    await expect(source.openDisk(vm, 'vda')).rejects.toMatchObject({
      code: 'export-not-permitted',
      remedy: 'Log in as root, or shut the VM down first, if this user may read its disks.',
    });
    await source[Symbol.asyncDispose]();
    await expect.poll(() => theirs.traces()).toEqual([]);
    expect(await theirs.virsh('domstate', 'busy')).toBe('running');
  });
});

describe.skipIf(!sshdIsHere)('a run that is killed', () => {
  /** A process of its own that opens both VMs' disks and waits to be killed. */
  const victims: ChildProcess[] = [];
  afterAll(() => victims.forEach((child) => child.kill('SIGKILL')));
  const victim = async (label: string, ...vms: string[]): Promise<() => Promise<void>> => {
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, 'kvm-victim-process.ts'), ...vms],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    victims.push(child);
    child.stdin.end(JSON.stringify(kvm.options({ label })));
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const opened = new Promise<void>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line === 'open') resolve();
      });
    });
    const ended = gone.then(() => Promise.reject(new Error('it ended by itself')));
    await Promise.race([opened, ended]);
    ended.catch(() => undefined);
    return async () => {
      child.kill('SIGKILL');
      await gone;
    };
  };

  it('leaves nothing: servers, folder, scratch file and backup end with its connection', async () => {
    const kill = await victim('killed', 'still', 'busy');
    expect((await kvm.traces()).length).toBeGreaterThan(3);
    await kill();
    await expect.poll(() => kvm.traces()).toEqual([]);
    expect(await kvm.virsh('domstate', 'busy')).toBe('running');
  });

  it('leaves to a later run of its label what the host could not end, and that run ends no other', async () => {
    const kill = await victim('first', 'still', 'busy');
    const others = await victim('other', 'still');
    // As if the host had been cut off: nobody there hears of our end.
    const { stdout } = await kvm.libvirtd.exec('pgrep', '-f', 'vmferry-.2-XXXXXXXXXX.* first$');
    for (const pid of stdout.split('\n').filter(Boolean)) {
      await kvm.libvirtd.exec('kill', '-9', pid).catch(() => undefined);
    }
    await kill();
    await using source = kvm.source({ label: 'first' });
    expect((await source.sweep()).sort()).toEqual([
      expect.stringMatching(/^folder .*\/vmferry-first-\w{10}$/),
    ]);
    expect((await readdir(kvm.folder)).every((name) => name.startsWith('vmferry-other-'))).toBe(
      true,
    );
    expect(await source.sweep()).toEqual([]);
    await others();
    await expect.poll(() => kvm.traces()).toEqual([]);
  });
});

describe.skipIf(!sshdIsHere)('the way in', () => {
  it('goes past an sshd that forwards no sockets, by a program there', async () => {
    const closed = await startForeignKvm(['AllowStreamLocalForwarding no']);
    try {
      await writeRaw(join(closed.pool, 'one.raw'), { sizeMiB: 4, dataMiB: 2 });
      await closed.define('plain', { disks: fileDisk(join(closed.pool, 'one.raw')) });
      await using source = closed.source({ connections: 2 });
      const { source: disk } = await source.openDisk(await source.inspect('plain'), 'vda');
      expect((await wholeOf(disk)).equals(await readFile(join(closed.pool, 'one.raw')))).toBe(true);
      await source.close();
      expect(await closed.traces()).toEqual([]);
    } finally {
      await closed.end();
    }
  });

  it.skipIf(!saslIsHere)('logs in at a libvirtd that asks for a name and a password', async () => {
    const dir = await mkdtemp('/var/tmp/vmfk-sasl-');
    const [hostname, password] = ['vmfk-sasl', 'open sesame'];
    const database = join(dir, 'passwd.db');
    await writeFile(
      join(dir, 'libvirt.conf'),
      `mech_list: SCRAM-SHA-256\nsasldb_path: ${database}\n`,
    );
    const making = run('saslpasswd2', ['-p', '-c', '-f', database, '-u', hostname, 'mover']);
    making.child.stdin?.end(password);
    await making;
    const asking = await startForeignKvm([], {
      ...{ hostname, config: ['auth_unix_rw = "sasl"'], env: { SASL_CONF_PATH: dir } },
    });
    try {
      const codeOf = async (sasl?: SaslCredentials): Promise<unknown> => {
        await using source = asking.source(sasl === undefined ? {} : { sasl });
        return await source.inspect('nobody').then(
          () => 'it is there',
          (error: unknown) => (error as { code?: unknown }).code,
        );
      };
      const mover = { username: 'mover', password: () => password };
      expect(await codeOf(mover)).toBe('vm-not-found');
      for (const wrong of [undefined, { ...mover, password: () => 'open barley' }])
        expect(await codeOf(wrong)).toBe('libvirt-access-denied');
    } finally {
      await asking.end();
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('leads through a host in between', async () => {
    const { ssh } = kvm.options();
    await using source = kvm.source({ ssh: { ...ssh, via: ssh } });
    expect(await source.inspect('still')).toMatchObject({ name: 'still' });
  });

  it('says what is wrong with it', async () => {
    const { ssh } = kvm.options();
    const stranger = 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
    const codeOf = async (changes: Parameters<typeof kvm.source>[0]): Promise<unknown> => {
      await using source = kvm.source(changes);
      return await source.state(busy).then(
        () => 'it works',
        (error: unknown) => (error as { code?: unknown }).code,
      );
    };
    expect(await codeOf({ ssh: { ...ssh, hostKeySha256: stranger } })).toBe('ssh-host-key-changed');
    expect(await codeOf({ ssh: { ...ssh, auth: { password: 'wrong' } } })).toBe(
      'ssh-login-refused',
    );
    expect(await codeOf({ ssh: { ...ssh, port: 1 } })).toBe('ssh-unreachable');
    expect(await codeOf({ libvirtSocket: '/run/none' })).toBe('remote-socket-missing');
  });
});
