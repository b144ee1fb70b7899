/** What a live move is judged by, as a real libvirtd tells it. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compareCpu } from '../../../platforms/libvirt/cpu.ts';
import { readMachineFacts } from '../../../platforms/libvirt/machine-facts.ts';
import type { LiveProbe } from '../../../domain/host.ts';
import { startPrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import type { PrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import { fileDisk, run, startTestHost } from './host.ts';
import type { TestHost } from './host.ts';

const probeProcess = join(import.meta.dirname, 'probe-process.ts');
const machine = { domainType: 'qemu', arch: 'x86_64', machine: 'pc' };
const cpuOf = (model: string, more = ''): string =>
  `<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>${model}</model>${more}</cpu>`;

describe('on a host with VMs', () => {
  let host: TestHost;
  let raw: string;
  beforeAll(async () => {
    host = await startTestHost();
    raw = join(host.poolDir, 'one.img');
    await run('truncate', ['-s', '16M', raw]);
    const network = join(host.dir, 'net.xml');
    await writeFile(
      network,
      `<network><name>lab</name><bridge name='vmflab0'/><mtu size='1400'/></network>`,
    );
    await host.virsh('net-create', network);
  });
  afterEach(() => host.clear());
  afterAll(() => host.end());

  const start = async (more: { disks?: string; cpu?: string } = {}): Promise<string> => {
    const uuid = await host.define('guest', {
      disks:
        (more.disks ?? fileDisk(raw)) +
        `<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>`,
      nics: `<interface type='network'><mac address='52:54:00:12:34:56'/><source network='lab'/></interface>`,
      more: `<features><acpi/></features>${more.cpu ?? ''}`,
    });
    await host.virsh('start', 'guest');
    return uuid;
  };

  it('tells nothing of a VM that is off, and no difference of one that runs as it is defined', async () => {
    const volume = `<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='default' volume='two.img'/><target dev='vdb' bus='virtio'/></disk>`;
    await run('truncate', ['-s', '1M', join(host.poolDir, 'two.img')]);
    await host.virsh('pool-refresh', 'default');
    const uuid = await start({ disks: fileDisk(raw) + volume });
    const { running } = await host.source.inspect(uuid);
    expect(running).toMatchObject({ drift: [], jobs: [], cpuTies: [] });
    expect(running?.cpu).toContain('<model fallback="forbid">qemu64</model>');
    await host.virsh('destroy', 'guest');
    expect((await host.source.inspect(uuid)).running).toBeUndefined();
  });

  it('names what only the running guest has', async () => {
    const uuid = await start();
    const hot = join(host.poolDir, 'hot.img');
    await run('truncate', ['-s', '1M', hot]);
    await host.virsh('attach-disk', 'guest', hot, 'vdb', '--live', '--subdriver', 'raw');
    await host.virsh('detach-interface', 'guest', 'network', '--config');
    const { running } = await host.source.inspect(uuid);
    expect(running?.drift).toEqual([
      `disk vdb (${hot}, raw) is not in the definition`,
      'interface 52:54:00:12:34:56 (network lab) is not in the definition',
    ]);
  });

  it('names a block job, and a medium that the guest has open', async () => {
    const uuid = await start();
    const copy = join(host.poolDir, 'copy.img');
    const iso = join(host.poolDir, 'a.iso');
    await run('truncate', ['-s', '1M', iso]);
    await host.virsh('change-media', 'guest', 'sda', iso, '--insert', '--live');
    const options = ['--transient-job', '--wait', '--format', 'raw'];
    await host.virsh('blockcopy', 'guest', 'vda', copy, ...options);
    const { running } = await host.source.inspect(uuid);
    expect(running).toMatchObject({
      jobs: ['disk vda has a block job (copy)'],
      drift: [],
      files: [{ role: 'other', path: iso }],
    });
  });

  it('compares a CPU with what its hypervisor offers, and names what is missing', async () => {
    const compare = (cpu: string, more = {}) =>
      host.libvirt.use((connection) => compareCpu(connection, cpu, { ...machine, ...more }));
    expect(await compare(cpuOf('qemu64'))).toEqual({ verdict: 'fits', detail: '' });
    const missing = await compare(cpuOf('qemu64', `<feature policy='require' name='avx512f'/>`));
    expect(missing.verdict).toBe('incompatible');
    expect(missing.detail).toMatch(/required features: .*avx512f/);
    const other = await compare(
      cpuOf('qemu64', '<vendor>Intel</vendor>').replace(
        /(<model.*model>)(<vendor.*vendor>)/,
        '$1$2',
      ),
    );
    expect(other.detail).toMatch(/vendor does not match required CPU vendor Intel/);
  });

  it('tells the CPU that libvirt holds a start against, and libvirt does refuse it', async () => {
    const avx = `<feature policy='require' name='avx512f'/>`;
    const cpu = cpuOf('qemu64', avx).replace(`check='full'`, `check='partial'`);
    await expect(start({ cpu })).rejects.toThrow(/avx512f/);
    const { checkedCpu = '' } = await host.source.inspect('guest');
    expect(checkedCpu).toContain('avx512f');
    const found = await host.libvirt.use((connection) =>
      compareCpu(connection, checkedCpu, machine),
    );
    expect(found.verdict).toBe('incompatible');
    await host.clear();
    // As libvirt stores it where QEMU emulates: then it starts whatever is missing.
    await start({ cpu: cpu.replace(` check='partial'`, '') });
    expect(await host.source.inspect('guest')).not.toHaveProperty('checkedCpu');
  });

  it.each([
    { what: 'a model', cpu: cpuOf('NoSuch'), words: 'Unknown CPU model NoSuch' },
    {
      what: 'a feature',
      cpu: cpuOf('qemu64', `<feature policy='require' name='nosuch'/>`),
      words: 'Unknown CPU feature nosuch',
    },
    { what: 'a machine', more: { machine: 'nosuch' }, words: 'is not supported' },
    { what: 'an architecture', more: { arch: 'riscv64' }, words: 'riscv64' },
  ])('gives an answer on $what that it does not know', async ({ cpu, more, words }) => {
    const found = await host.libvirt.use((connection) =>
      compareCpu(connection, cpu ?? cpuOf('qemu64'), { ...machine, ...more }),
    );
    // A host that has no such machine is named by another rule.
    const verdict = more === undefined ? 'incompatible' : 'unknown';
    expect(found).toEqual({ verdict, detail: expect.stringContaining(words) as unknown });
  });

  it('takes the host’s own CPU for a guest that was given all of it', async () => {
    const uuid = await start({ cpu: `<cpu mode='maximum' migratable='off'/>` });
    const { running } = await host.source.inspect(uuid);
    expect(running?.cpuTies).toEqual([`it is maximum with migratable='off'`]);
    expect(running?.cpu).toMatch(/^<cpu mode='custom' match='exact'><model /);
    expect(
      await host.libvirt.use((connection) => compareCpu(connection, running!.cpu, machine)),
    ).toEqual({ verdict: 'fits', detail: '' });
  });

  it('tells kernel, CPU and MTUs, and where QEMU’s certificates are missing', async () => {
    await writeFile(
      join(host.dir, 'host/etc/libvirt/qemu.conf'),
      '# lock_manager = "sanlock"\nlock_manager = "lockd"\nmigrate_tls_x509_cert_dir = "/nowhere"\n',
    );
    const facts = await readMachineFacts(host.libvirt);
    expect(facts).toMatchObject({
      hostname: expect.stringMatching(/^vmfp-/) as unknown,
      lockManager: 'lockd',
      qemuTls: { folder: '/nowhere', missing: expect.arrayContaining(['ca-cert.pem']) as unknown },
    });
    const { stdout } = await run('uname', ['-r']);
    expect(facts.kernel).toBe(stdout.trim());
    expect(facts.cpu).toMatchObject({ has64Bit: true });
    expect(facts.cpu?.vendor).not.toBe('');
    // The bridge is in the private host's network, where this process is not.
    expect(facts.mtus.networks).toEqual({});
  });
});

describe('on the way to another libvirtd', () => {
  let dir: string;
  let host: PrivateLibvirtd;
  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/vmferry-probe-');
    await mkdir(join(dir, 'pki'));
    await makeCa('fleet');
    await makeCa('other');
    await makeCertificate('server', 'fleet', ['tls_www_server', 'ip_address=127.0.0.1']);
    await makeCertificate('client', 'fleet', ['tls_www_client']);
    await makeCertificate('stranger', 'other', ['tls_www_client']);
    host = await startPrivateLibvirtd({
      dir: join(dir, 'host'),
      tls: { ca: pem('fleet'), cert: pem('server'), key: pem('server-key') },
    });
  });
  afterAll(async () => {
    await host.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const pem = (name: string): string => join(dir, 'pki', `${name}.pem`);
  /** A host's files with these certificates of libvirt's. */
  async function rootOf(ca: string, client: string): Promise<string> {
    const root = join(dir, `root-${ca}-${client}`);
    const pki = join(root, 'etc/pki');
    await mkdir(join(pki, 'CA'), { recursive: true });
    await mkdir(join(pki, 'libvirt/private'), { recursive: true });
    await copyFile(pem(ca), join(pki, 'CA/cacert.pem'));
    await copyFile(pem(client), join(pki, 'libvirt/clientcert.pem'));
    await copyFile(pem(`${client}-key`), join(pki, 'libvirt/private/clientkey.pem'));
    return root;
  }
  const probe = async (options: { fileRoot: string; address?: string; port?: number }) => {
    const words = JSON.stringify({ address: '127.0.0.1', ...options });
    const { stdout } = await host.exec(process.execPath, probeProcess, words);
    return JSON.parse(stdout) as LiveProbe;
  };

  it('is let in with the certificate that libvirtd itself would show', async () => {
    expect(await probe({ fileRoot: await rootOf('fleet', 'client') })).toEqual({
      address: '127.0.0.1',
      libvirtd: 'ready',
      detail: '',
      portsFiltered: false,
    });
  });

  it.each([
    ['of another authority', 'fleet', 'stranger'],
    ['by a host that trusts another authority', 'other', 'client'],
  ])('is refused with a certificate %s', async (_what, ca, client) => {
    const found = await probe({ fileRoot: await rootOf(ca, client) });
    expect(found).toMatchObject({ libvirtd: 'refused' });
    expect(found.detail).not.toBe('');
  });

  it('is refused without a certificate', async () => {
    const found = await probe({ fileRoot: join(dir, 'nothing') });
    expect(found).toMatchObject({ libvirtd: 'refused' });
    expect(found.detail).toContain('/etc/pki/CA/cacert.pem');
  });

  it('says so where nobody listens', async () => {
    const found = await probe({ fileRoot: await rootOf('fleet', 'client'), port: 1 });
    expect(found).toMatchObject({ libvirtd: 'unreachable', portsFiltered: false });
    expect(found.detail).toContain('127.0.0.1:1');
  });

  it('is refused where the certificate does not name the address', async () => {
    const fileRoot = await rootOf('fleet', 'client');
    const found = await probe({ fileRoot, address: 'localhost' });
    expect(found).toMatchObject({ libvirtd: 'refused' });
    expect(found.detail).toContain('localhost');
  });

  it('notices that something swallows what goes to the ports of migrations', async () => {
    const rules =
      'add table ip probe; add chain ip probe in { type filter hook input priority 0; }; ' +
      'add rule ip probe in tcp dport 49152 drop';
    await host.exec('nft', rules);
    const found = await probe({ fileRoot: await rootOf('fleet', 'client') });
    await host.exec('nft', 'delete table ip probe');
    expect(found).toMatchObject({ libvirtd: 'ready', portsFiltered: true });
  });

  async function makeKey(name: string): Promise<void> {
    // libvirt 9.0 insists on the usage key encipherment, which certtool gives to no ECDSA key.
    const kind = ['--generate-privkey', '--key-type=rsa', '--bits=2048'];
    await run('certtool', [...kind, '--outfile', pem(`${name}-key`)]);
  }
  async function makeCa(name: string): Promise<void> {
    const lines = ['ca', 'cert_signing_key'];
    const how = await signing(name, [`cn=${name} CA`, ...lines]);
    await run('certtool', ['--generate-self-signed', ...how]);
  }
  async function makeCertificate(name: string, ca: string, lines: string[]): Promise<void> {
    const how = await signing(name, [`cn=${name}`, 'signing_key', 'encryption_key', ...lines]);
    const signer = ['--load-ca-certificate', pem(ca), '--load-ca-privkey', pem(`${ca}-key`)];
    await run('certtool', ['--generate-certificate', ...how, ...signer]);
  }
  async function signing(name: string, lines: string[]): Promise<string[]> {
    await makeKey(name);
    const template = join(dir, `${name}.info`);
    await writeFile(template, [...lines, 'expiration_days=2', ''].join('\n'));
    const key = ['--load-privkey', pem(`${name}-key`)];
    return [...key, '--template', template, '--outfile', pem(name)];
  }
});
