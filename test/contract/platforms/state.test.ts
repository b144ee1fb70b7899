/** What libvirt keeps of a VM beside definition and disks, moved between two real hosts. */
import { existsSync } from 'node:fs';
import { open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DomainDocument } from '../../../platforms/libvirt/domain-xml.ts';
import { encodeParcel } from '../../../platforms/libvirt/state-parcel.ts';
import type { StateContent } from '../../../platforms/libvirt/state-parcel.ts';
import { startTestHost, vmXml } from './host.ts';
import type { TestHost } from './host.ts';

const firmware = '/usr/share/OVMF/OVMF_CODE_4M.fd';
const template = '/usr/share/OVMF/OVMF_VARS_4M.fd';
const hasFirmware = existsSync(firmware);
const hasTpm = existsSync('/usr/bin/swtpm') && existsSync('/usr/bin/swtpm_setup');
const uuid = '5f0c1d2e-3a4b-4c5d-8e6f-708192a3b4c5';
const marker = Buffer.from('a boot entry that only this guest has');
const nvramFolder = '/var/lib/libvirt/qemu/nvram';

let alpha: TestHost;
let beta: TestHost;

const autoselected = `<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>`;
const stated = `<os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' type='pflash'>${firmware}</loader><nvram template='${template}'>${nvramFolder}/guest-own.fd</nvram></os>`;
const tpm = `<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>`;
const xmlOf = (os: string, devices = ''): string =>
  vmXml('guest', { uuid, disks: devices }).replace(
    /<os>.*<\/os>/,
    `${os}<features><acpi/></features>`,
  );

/** Defined as a move does it: the note tells whose it is. */
async function defineOn(host: TestHost, xml: string): Promise<string> {
  const document = DomainDocument.parse(xml);
  document.mendForTarget({ disks: [], note: { owner: 'beta', epoch: 2, move: 'm' } });
  return (await host.target.ensureDefined(document.toString(), { uuid })).how;
}

const inside = (host: TestHost, path: string): string => join(host.libvirt.fileRoot, path);

async function write(path: string, bytes: Buffer, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.byteLength, offset);
  await file.close();
}

const fault = (code: string): unknown => expect.objectContaining({ code, host: 'alpha' });

beforeAll(async () => {
  [alpha, beta] = await Promise.all([startTestHost(), startTestHost()]);
}, 60_000);
afterEach(() => Promise.all([alpha.clear(), beta.clear()]), 60_000);
afterAll(() => Promise.all([alpha.end(), beta.end()]), 60_000);

describe.skipIf(!hasFirmware)('UEFI firmware that libvirt chooses', () => {
  const q35 = { domainType: 'qemu', arch: 'x86_64', machine: 'q35' };

  it('is known of a VM at rest and of the host that it would go to, machine by machine', async () => {
    await defineOn(alpha, xmlOf(autoselected));
    const { efiLoaders: loaders } = (await beta.target.machineOffer(q35)) ?? {};
    expect(loaders).toContain(firmware);
    expect(await beta.target.machineOffer(q35)).toMatchObject({
      secureBoot: expect.any(Boolean) as boolean,
      tpm: expect.any(Boolean) as boolean,
    });
    expect((await alpha.source.inspect(uuid)).firmware).toEqual({ loader: '', loaders });
    expect(await beta.target.machineOffer({ ...q35, machine: 'isapc' })).toMatchObject({
      efiLoaders: [],
    });
    expect(await beta.target.machineOffer({ ...q35, machine: 'no-such' })).toBeUndefined();
    expect(await beta.target.machineOffer({ ...q35, arch: 's390x' })).toBeUndefined();
    expect(await beta.target.machineOffer({ ...q35, domainType: 'xen' })).toBeUndefined();
  });

  it('is no matter of a VM whose definition names its own', async () => {
    await defineOn(alpha, xmlOf(stated));
    expect((await alpha.source.inspect(uuid)).firmware).toBeUndefined();
  });
});

describe.skipIf(!hasFirmware)('UEFI variables', () => {
  it.each([
    ['in the file that libvirt chooses', autoselected, `${nvramFolder}/guest_VARS.fd`],
    ['in the file that the definition names', stated, `${nvramFolder}/guest-own.fd`],
  ])('arrive %s, byte for byte, and the guest starts with them', async (_where, os, path) => {
    await defineOn(alpha, xmlOf(os));
    await alpha.target.start(uuid, { paused: true });
    await alpha.target.destroy(uuid);
    await write(inside(alpha, path), marker, 4096);
    expect((await alpha.source.inspect(uuid)).keptState).toEqual([{ role: 'nvram', path }]);

    const parcel = await alpha.state.pack(uuid, { snapshots: false });
    await defineOn(beta, xmlOf(os));
    await beta.state.unpack(uuid, parcel);
    await beta.state.unpack(uuid, parcel);
    const packed = await readFile(inside(alpha, path));
    expect(packed.includes(marker)).toBe(true);
    expect((await readFile(inside(beta, path))).equals(packed)).toBe(true);
    const { mode, uid } = await stat(inside(beta, path));
    expect([mode & 0o777, uid]).toEqual([0o600, 0]);
    expect(await readdir(inside(beta, nvramFolder))).toEqual([path.slice(nvramFolder.length + 1)]);

    await beta.target.start(uuid, { paused: true });
    expect((await readFile(inside(beta, path))).equals(packed)).toBe(true);
    await expect(beta.state.unpack(uuid, parcel)).rejects.toEqual(fault('vm-still-active'));
    await expect(beta.state.pack(uuid, { snapshots: false })).rejects.toEqual(
      fault('vm-still-active'),
    );
    await beta.target.destroy(uuid);
    await beta.target.undefine(uuid);
    expect(await readdir(inside(beta, nvramFolder))).toHaveLength(1);
    await defineOn(beta, xmlOf(os));
    await beta.target.undefine(uuid, { state: 'remove' });
    expect(await readdir(inside(beta, nvramFolder))).toEqual([]);
  });

  it('of a renamed VM are neither written over nor removed for its successor in the name', async () => {
    await defineOn(alpha, xmlOf(autoselected));
    await alpha.target.start(uuid, { paused: true });
    await alpha.target.destroy(uuid);
    const parcel = await alpha.state.pack(uuid, { snapshots: false });
    const path = `${nvramFolder}/guest_VARS.fd`;
    const older = xmlOf(stated)
      .replace(uuid, '00000000-0000-4000-8000-000000000077')
      .replace('<name>guest<', '<name>older<')
      .replace('guest-own.fd', 'guest_VARS.fd');
    await writeFile(join(beta.dir, 'older.xml'), older);
    await beta.virsh('define', join(beta.dir, 'older.xml'));
    await writeFile(inside(beta, path), 'of the older one');
    await defineOn(beta, xmlOf(autoselected));
    await expect(beta.state.unpack(uuid, parcel)).rejects.toEqual(fault('nvram-in-use'));
    await beta.source.undefine(uuid, { state: 'remove' });
    expect(await readFile(inside(beta, path), 'utf8')).toBe('of the older one');
    await beta.virsh('undefine', 'older', '--keep-nvram');
    await defineOn(beta, xmlOf(autoselected));
    await beta.state.unpack(uuid, parcel);
    const aside = (await readdir(inside(beta, nvramFolder))).find((name) => /before-/.test(name));
    expect(await readFile(inside(beta, join(nvramFolder, aside!)), 'utf8')).toBe(
      'of the older one',
    );
    await rm(inside(beta, join(nvramFolder, aside!)));
  });

  it('are not there before the first start, which then needs their template', async () => {
    await defineOn(alpha, xmlOf(stated));
    const { keptState, hostFiles } = await alpha.source.inspect(uuid);
    expect(keptState).toEqual([]);
    expect(hostFiles).toEqual([
      { role: 'loader', path: firmware },
      { role: 'other', path: template },
    ]);
    const parcel = await alpha.state.pack(uuid, { snapshots: false });
    await alpha.state.unpack(uuid, parcel);
    expect((await alpha.source.inspect(uuid)).keptState).toEqual([]);
  });
});

describe.skipIf(!hasTpm)('the state of an emulated TPM', () => {
  const folder = `/var/lib/libvirt/swtpm/${uuid}/tpm2`;

  it('arrives with its owner, and the emulator takes it up', async () => {
    await defineOn(alpha, xmlOf(autoselected.replace(" firmware='efi'", ''), tpm));
    expect((await alpha.source.inspect(uuid)).keptState).toEqual([]);
    await alpha.target.start(uuid, { paused: true });
    await alpha.target.destroy(uuid);
    const kept = { role: 'tpm', path: folder };
    expect(await alpha.source.inspect(uuid)).toMatchObject({
      keptState: [kept],
      fixedDevices: [],
    });

    const parcel = await alpha.state.pack(uuid, { snapshots: false });
    await defineOn(beta, xmlOf(autoselected.replace(" firmware='efi'", ''), tpm));
    await beta.state.unpack(uuid, parcel);
    // State of an earlier life, which the emulator would join with this one.
    const stray = await open(join(inside(beta, folder), 'tpm2-00.volatilestate'), 'w');
    await stray.close();
    await beta.state.unpack(uuid, parcel);
    expect(await readdir(inside(beta, folder))).toEqual(['tpm2-00.permall']);
    const folders = await readdir(inside(beta, '/var/lib/libvirt/swtpm'));
    const aside = folders.filter((name) => name !== uuid);
    expect(aside).toEqual([expect.stringMatching(new RegExp(`^${uuid}.before-`))]);
    const [from, to] = [alpha, beta].map((host) => join(inside(host, folder), 'tpm2-00.permall'));
    const packed = await readFile(from!);
    expect((await readFile(to!)).equals(packed)).toBe(true);
    for (const name of ['..', '.', 'tpm2-00.permall']) {
      const [theirs, ours] = await Promise.all(
        [alpha, beta].map((host) => stat(join(inside(host, folder), name))),
      );
      expect([ours!.mode, ours!.uid, ours!.gid]).toEqual([theirs!.mode, theirs!.uid, theirs!.gid]);
    }

    await beta.target.start(uuid, { paused: true });
    // A TPM that libvirt takes for a new one is manufactured, and that is logged.
    const log = await readFile(inside(beta, '/var/log/swtpm/libvirt/qemu/guest-swtpm.log'), 'utf8');
    expect(log).not.toMatch(/manufactur/i);
    await beta.target.destroy(uuid);
    await beta.source.undefine(uuid);
    expect(await readdir(inside(beta, folder))).toContain('tpm2-00.permall');
    await defineOn(beta, xmlOf(autoselected.replace(" firmware='efi'", ''), tpm));
    await beta.source.undefine(uuid, { state: 'remove' });
    await expect(readdir(inside(beta, folder))).rejects.toThrow(/ENOENT/);
  });
});

describe('secrets', () => {
  const id = (at: number): string => `00000000-0000-4000-8000-00000000000${at}`;
  const disk = `<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/image'><host name='192.0.2.1' port='6789'/><auth username='admin'><secret type='ceph' uuid='${id(1)}'/></auth><encryption format='luks'><secret type='passphrase' uuid='${id(2)}'/></encryption></source><target dev='vda' bus='virtio'/></disk>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='iscsi' name='iqn.2026-11.example:disk/1'><host name='192.0.2.2' port='3260'/><auth username='user'><secret type='iscsi' usage='chap-of-lab'/></auth></source><target dev='vdb' bus='virtio'/></disk>`;
  const secret = (at: number, inner: string, isPrivate = false): string =>
    `<secret ephemeral='no' private='${isPrivate ? 'yes' : 'no'}'><uuid>${id(at)}</uuid>${inner}</secret>`;
  const value = Buffer.from([0, 1, 254, 255, 10]);

  const clear = async (host: TestHost): Promise<void> => {
    for (const line of (await host.virsh('secret-list')).split('\n').filter(Boolean)) {
      await host.virsh('secret-undefine', line.trim().split(/\s+/)[0]!);
    }
  };
  const define = async (host: TestHost, xml: string, bytes?: Buffer): Promise<void> =>
    host.libvirt.use(async (connection) => {
      const made = await connection.call('SecretDefineXML', { xml });
      if (bytes !== undefined) await connection.call('SecretSetValue', { ...made, value: bytes });
    });
  const valueOn = async (host: TestHost, at: number): Promise<Uint8Array> =>
    host.libvirt.use(async (connection) => {
      const found = await connection.call('SecretLookupByUUID', { uuid: id(at) });
      return (await connection.call('SecretGetValue', found)).value;
    });
  const ceph = `<usage type='ceph'><name>client.admin &amp; more</name></usage>`;
  const chap = `<usage type='iscsi'><target>chap-of-lab</target></usage>`;

  afterEach(() => Promise.all([clear(alpha), clear(beta)]), 60_000);

  it('that can be read arrive with their value; private ones are named as missing', async () => {
    await define(alpha, secret(1, ceph), value);
    await define(alpha, secret(2, '<description>key</description>', true), value);
    await define(alpha, secret(3, chap), Buffer.from('chap'));
    await alpha.define('guest', { uuid, disks: disk });
    const xml = await alpha.source.definition(uuid);
    const { secrets } = DomainDocument.parse(xml).facts();
    expect(secrets).toEqual([
      { uuid: id(1) },
      { uuid: id(2) },
      { usageType: 'iscsi', usage: 'chap-of-lab' },
    ]);
    expect(await alpha.state.missingSecrets(secrets)).toEqual([]);
    expect(await beta.state.missingSecrets(secrets)).toEqual(secrets);

    const parcel = await alpha.state.pack(uuid, { snapshots: false });
    expect([await defineOn(beta, xml), await defineOn(beta, xml)]).toEqual([
      'created',
      'unchanged',
    ]);
    await beta.state.unpack(uuid, parcel);
    await beta.state.unpack(uuid, parcel);
    expect(await valueOn(beta, 1)).toEqual(Uint8Array.from(value));
    expect(await beta.virsh('secret-dumpxml', id(1))).toContain('client.admin &amp; more');
    expect(await valueOn(beta, 3)).toEqual(Uint8Array.from(Buffer.from('chap')));
    expect(await beta.state.missingSecrets(secrets)).toEqual([{ uuid: id(2) }]);
  });

  it('are told apart by whether the host gives them out', async () => {
    await define(alpha, secret(1, ''), value);
    await define(alpha, secret(2, '', true), value);
    await define(alpha, secret(3, ''));
    const path = join(alpha.poolDir, 'locked.img');
    await alpha.libvirtd.exec('truncate', '-s', '1M', path);
    const locked = [1, 2, 3, 4].map(
      (at) =>
        `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${path}'><encryption format='luks'><secret type='passphrase' uuid='${id(at)}'/></encryption></source><target dev='vd${'_abcd'[at]}' bus='virtio'/></disk>`,
    );
    await alpha.define('guest', { uuid, disks: locked.join('') });
    const { secrets, disks } = await alpha.source.inspect(uuid);
    expect(secrets).toEqual(
      [true, false, false, false].map((readable, at) => ({ uuid: id(at + 1), readable })),
    );
    expect(disks[0]).toMatchObject({ encrypted: true, secrets: [{ uuid: id(1) }] });
    expect(await alpha.state.missingSecrets(secrets ?? [])).toEqual([
      expect.objectContaining({ uuid: id(3) }),
      expect.objectContaining({ uuid: id(4) }),
    ]);
  });

  it('get a value where they have none, and keep the one that they have', async () => {
    await define(alpha, secret(1, ceph), value);
    await define(alpha, secret(3, chap), value);
    await alpha.define('guest', { uuid, disks: disk });
    const parcel = await alpha.state.pack(uuid, { snapshots: false });
    await defineOn(beta, await alpha.source.definition(uuid));
    await define(beta, secret(1, ceph));
    await define(beta, secret(3, chap), Buffer.from('of beta'));
    expect(await beta.state.missingSecrets([{ uuid: id(1) }, { uuid: id(3) }])).toEqual([
      { uuid: id(1) },
    ]);
    await beta.state.unpack(uuid, parcel);
    expect(await valueOn(beta, 1)).toEqual(Uint8Array.from(value));
    expect(await valueOn(beta, 3)).toEqual(Uint8Array.from(Buffer.from('of beta')));
  });

  it('are refused where another stands for the same use', async () => {
    await define(alpha, secret(1, ceph), value);
    await alpha.define('guest', { uuid, disks: disk });
    const parcel = await alpha.state.pack(uuid, { snapshots: false });
    await defineOn(beta, await alpha.source.definition(uuid));
    await define(beta, secret(4, ceph), value);
    await expect(beta.state.unpack(uuid, parcel)).rejects.toEqual(fault('secret-in-the-way'));
  });
});

describe('snapshots', () => {
  it('are known on a host that sees the same disks, with parents and the current one', async () => {
    const path = join(alpha.dir, 'shared.qcow2');
    await alpha.libvirtd.exec('qemu-img', 'create', '-q', '-f', 'qcow2', path, '4M');
    const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='vda' bus='virtio'/></disk>`;
    await alpha.define('guest', { uuid, disks: disk });
    await alpha.virsh('snapshot-create-as', 'guest', 'b-first', '--description', 'a < b');
    await alpha.virsh('snapshot-create-as', 'guest', 'a-second');
    await alpha.virsh('snapshot-create-as', 'guest', 'outside', '--disk-only');
    await alpha.virsh('snapshot-current', 'guest', '--snapshotname', 'a-second');

    const parcel = await alpha.state.pack(uuid, { snapshots: true });
    await defineOn(beta, await alpha.source.definition(uuid));
    await beta.state.unpack(uuid, parcel);
    await beta.state.unpack(uuid, parcel);
    const tree = async (host: TestHost): Promise<string[]> =>
      Promise.all([
        host.virsh('snapshot-list', 'guest', '--tree'),
        host.virsh('snapshot-current', 'guest', '--name'),
        host.virsh('snapshot-dumpxml', 'guest', 'b-first', '--security-info'),
      ]);
    expect(await tree(beta)).toEqual(await tree(alpha));
    expect((await beta.source.inspect(uuid)).snapshots.sort()).toEqual([
      'a-second',
      'b-first',
      'outside',
    ]);
    await beta.state.unpack(uuid, await alpha.state.pack(uuid, { snapshots: false }));
    expect((await beta.source.inspect(uuid)).snapshots).toHaveLength(3);
  });
});

describe('a parcel that is not for this VM', () => {
  const empty: StateContent = { uuid, secrets: [], snapshots: [] };
  const secret = {
    uuid: '00000000-0000-4000-8000-000000000009',
    usageType: 'none',
    usage: '',
    ephemeral: false,
    value: Buffer.from('x'),
  };

  it.each<[string, Partial<StateContent>]>([
    ['of another VM', { uuid: '00000000-0000-4000-8000-000000000001' }],
    ['with variables for a VM without UEFI', { nvram: Buffer.from('v') }],
    [
      'with a TPM for a VM without one',
      { tpm: { version: 'tpm2', files: [{ name: 'tpm2-00.permall', content: Buffer.from('t') }] } },
    ],
    ['with a secret that the definition does not name', { secrets: [secret] }],
    [
      'with a snapshot of another VM',
      {
        snapshots: [
          {
            xml: `<domainsnapshot><name>s</name><domain><uuid>${secret.uuid}</uuid></domain></domainsnapshot>`,
            current: false,
          },
        ],
      },
    ],
  ])('is refused before anything is written: %s', async (_what, more) => {
    await alpha.define('guest', { uuid });
    const parcel = encodeParcel({ ...empty, secrets: [], ...more });
    await expect(alpha.state.unpack(uuid, parcel)).rejects.toEqual(fault('state-parcel-refused'));
    expect(await alpha.virsh('secret-list')).toBe('');
    expect(existsSync(inside(alpha, `/var/lib/libvirt/swtpm/${uuid}`))).toBe(false);
    expect(await readdir(inside(alpha, nvramFolder))).toEqual([]);
    expect((await alpha.source.inspect(uuid)).snapshots).toEqual([]);
  });
});
