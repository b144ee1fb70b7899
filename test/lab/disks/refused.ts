/** Disks and devices that cannot go, or not so: what the check says, and where. */
import type { MigrateRequest } from '../../../client/vmferry.ts';
import { insidePaths } from '../../../lab/host-files.ts';
import { must } from '../refusals/tiny-vm.ts';
import { makeEncrypted, makeImage } from './images.ts';
import type { Scene } from './scene.ts';
import { defineSecret, makeLuks } from './state.ts';
import { defineVm, diskXml } from './vm.ts';

export interface RefusedRow {
  name: string;
  /** Concerns of level `critical`, in the order of their codes. */
  codes: string[];
  /** What their messages have to name. */
  naming: RegExp;
  /** Makes the VM and tells what is asked for it. */
  prepare(scene: Scene): Promise<Partial<MigrateRequest> & { vm: string }>;
}

/** A VM on a small image of its own. */
async function onImage(
  { alpha }: Scene,
  name: string,
  options: { format?: 'raw' | 'qcow2'; inside?: string; devices?: string; os?: string } = {},
): Promise<{ vm: string }> {
  const { format = 'raw', inside = '', devices = '', os } = options;
  const path = `${alpha.poolPath}/${name}.${format}`;
  await makeImage(alpha, path, { format, sizeMiB: 2 });
  const disk = diskXml({ dev: 'vda', path, format, inside });
  await defineVm(alpha, { name, devices: disk + devices, ...(os === undefined ? {} : { os }) });
  return { vm: name };
}

const hostDevice = `<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x03' slot='0x00' function='0x0'/></source></hostdev>`;
const ownNvram = `<os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram>/var/lib/libvirt/images/own-vars.fd</nvram></os><features><acpi/></features>`;

export const refusedRows: RefusedRow[] = [
  {
    name: 'snapshots in an image that would be copied',
    codes: ['snapshots'],
    naming: /photographed on alpha has snapshots that would be lost: before/,
    async prepare(scene) {
      const vm = await onImage(scene, 'photographed', { format: 'qcow2' });
      await must(scene.alpha, 'snapshot-create-as', 'photographed', 'before');
      return vm;
    },
  },
  {
    name: 'a disk that other guests may write meanwhile',
    codes: ['disk-shared'],
    naming: /disk vda of several is marked shareable/,
    prepare: (scene) => onImage(scene, 'several', { inside: '<shareable/>' }),
  },
  {
    name: 'a chain that shall stay one and become raw',
    codes: ['chain-cannot-be-kept'],
    naming: /disk vda of linked lies on a backing image, .* the format raw was asked for/,
    async prepare({ alpha }) {
      const [base, top] = [`${alpha.poolPath}/linked-base.qcow2`, `${alpha.poolPath}/linked.qcow2`];
      await makeImage(alpha, base, { format: 'qcow2', sizeMiB: 2 });
      await makeImage(alpha, top, { format: 'qcow2', sizeMiB: 2, backing: base });
      const devices = diskXml({ dev: 'vda', path: top, format: 'qcow2' });
      await defineVm(alpha, { name: 'linked', devices });
      return { vm: 'linked', chain: 'keep', targetFormat: 'raw' };
    },
  },
  {
    name: 'encryption inside of a qcow2 image',
    codes: ['disk-encrypted'],
    naming: /disk vda of sealed is encrypted inside a qcow2 image/,
    async prepare({ alpha, beta }) {
      const secret = {
        uuid: '5ec0de00-0000-4000-8000-000000000002',
        private: false,
        value: 'sealed',
      };
      for (const host of [alpha, beta]) await defineSecret(host, secret);
      const path = `${alpha.poolPath}/sealed.qcow2`;
      const source = `<encryption format='luks'><secret type='passphrase' uuid='${secret.uuid}'/></encryption>`;
      await makeEncrypted(alpha, [
        ...['-f', 'qcow2', '--object', 'secret,id=s,data=sealed'],
        ...['-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10', path, '2M'],
      ]);
      const devices = diskXml({ dev: 'vda', path, format: 'qcow2', source });
      await defineVm(alpha, { name: 'sealed', devices });
      return { vm: 'sealed' };
    },
  },
  {
    name: 'a device of the host',
    codes: ['device-cannot-move'],
    naming: /pinned has a device that is bound to alpha: .*0000:03:00\.0/,
    prepare: (scene) => onImage(scene, 'pinned', { devices: hostDevice }),
  },
  {
    name: "UEFI variables outside of libvirt's folder",
    codes: ['nvram-not-moved'],
    naming: /elsewhere keeps UEFI variables in \/var\/lib\/libvirt\/images\/own-vars\.fd/,
    prepare: (scene) => onImage(scene, 'elsewhere', { os: ownNvram }),
  },
  {
    name: 'a pool that the target does not have, said for one disk',
    codes: ['pool-missing'],
    naming: /beta has no pool ssd for disk vda of poolless/,
    prepare: async (scene) => ({
      ...(await onImage(scene, 'poolless')),
      disks: { vda: { pool: 'ssd' } },
    }),
  },
  {
    name: 'an image of the same path on both hosts that is said to be shared, and is not',
    codes: ['storage-not-shared', 'volume-exists'],
    naming: /beta does not see disk vda of lookalike/,
    async prepare(scene) {
      const vm = await onImage(scene, 'lookalike');
      const path = `${scene.beta.poolPath}/lookalike.raw`;
      await makeImage(scene.beta, path, { format: 'raw', sizeMiB: 2 });
      return { ...vm, storage: 'shared' };
    },
  },
  {
    name: 'a shared image that is to be copied onto itself',
    codes: ['volume-exists'],
    naming: /beta already has a volume shared\/onto\.raw/,
    async prepare({ alpha }) {
      const path = `${insidePaths.sharedPoolPath}/onto.raw`;
      await makeImage(alpha, path, { format: 'raw', sizeMiB: 2 });
      await defineVm(alpha, {
        name: 'onto',
        devices: diskXml({ dev: 'vda', path, format: 'raw' }),
      });
      return { vm: 'onto', storage: 'copy' };
    },
  },
  {
    name: 'a secret that libvirt gives to nobody and the target does not have',
    codes: ['secret-missing'],
    naming: /beta has no secret 5ec0de00-0000-4000-8000-000000000003, which silent needs/,
    async prepare({ alpha }) {
      const path = `${alpha.poolPath}/silent.raw`;
      const secret = {
        uuid: '5ec0de00-0000-4000-8000-000000000003',
        private: true,
        value: 'silent',
      };
      await defineSecret(alpha, secret);
      const source = await makeLuks(alpha, path, secret);
      const devices = diskXml({ dev: 'vda', path, format: 'raw', source });
      await defineVm(alpha, { name: 'silent', devices });
      return { vm: 'silent' };
    },
  },
];
