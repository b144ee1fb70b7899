/** Rows about what belongs to a VM beside its disks: UEFI variables, a TPM's state, secrets. */
import { existsSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { LabHost } from '../../../lab/host.ts';
import { must, withXml } from '../refusals/tiny-vm.ts';
import { hashOf, isThere, makeEncrypted, makeImage, soon } from './images.ts';
import { playRollback } from './scene.ts';
import type { DiskRow, Journey, Scene } from './scene.ts';
import { defineVm, diskXml } from './vm.ts';
import type { MadeVm } from './vm.ts';

const lacks = !existsSync('/usr/share/OVMF/OVMF_CODE_4M.fd')
  ? 'no UEFI firmware: apt-get install ovmf'
  : ['swtpm', 'swtpm_setup'].some((name) => !existsSync(`/usr/bin/${name}`))
    ? 'no TPM emulator: apt-get install swtpm swtpm-tools'
    : '';

const uefi = `<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>`;
const tpm = `<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>`;

/** What swtpm's tools write lies on the machine: their CA and their logs get folders of the host's own. */
async function giveTpmFolders(host: LabHost): Promise<void> {
  for (const folder of ['/var/lib/swtpm-localca', '/var/log/swtpm']) {
    const mounted = await host.exec(['mountpoint', '-q', folder], { ...soon, reject: false });
    if (mounted.exitCode !== 0)
      await host.exec(['mount', '-t', 'tmpfs', '-o', 'mode=777', 'tmpfs', folder], soon);
  }
}

const nvramOf = ({ name }: MadeVm): string => `/var/lib/libvirt/qemu/nvram/${name}_VARS.fd`;
const tpmOf = ({ uuid }: MadeVm): string => `/var/lib/libvirt/swtpm/${uuid}/tpm2`;

/** A VM with variables and a TPM that were in use once, and hold something of their own. */
async function secured({ alpha, beta }: Scene, name: string): Promise<Journey> {
  for (const host of [alpha, beta]) await giveTpmFolders(host);
  const path = `${alpha.poolPath}/${name}.raw`;
  await makeImage(alpha, path, { format: 'raw', sizeMiB: 4 });
  const devices = diskXml({ dev: 'vda', path, format: 'raw' }) + tpm;
  const vm = await defineVm(alpha, { name, os: uefi, devices });
  await must(alpha, 'start', '--paused', name);
  await must(alpha, 'destroy', name);
  const variables = await open(alpha.rootOf(nvramOf(vm)), 'r+');
  await variables.write(Buffer.from(`a boot entry of ${name}`), 0, undefined, 4096);
  await variables.close();
  return { vm, ways: [{ name: 'vda', how: 'copy', path, format: 'raw' }] };
}

/** Hashes of the variables and of each file of the TPM. */
async function stateOf(host: LabHost, vm: MadeVm): Promise<Record<string, string>> {
  const names = await readdir(host.rootOf(tpmOf(vm)));
  // The emulator's lock is no state.
  const kept = names.filter((name) => !name.startsWith('.')).map((name) => join(tpmOf(vm), name));
  const paths = [nvramOf(vm), ...kept];
  return Object.fromEntries(
    await Promise.all(paths.map(async (path) => [path, await hashOf(host, path)] as const)),
  );
}

const hasState = async (host: LabHost, vm: MadeVm): Promise<boolean> =>
  (await isThere(host, nvramOf(vm))) || (await isThere(host, tpmOf(vm)));

const kept: DiskRow = {
  name: 'UEFI variables and the state of a TPM: byte for byte there, and gone here',
  lacks,
  async prepare(scene) {
    const { alpha, beta } = scene;
    const journey = await secured(scene, 'secured');
    const was = await stateOf(alpha, journey.vm);
    return {
      ...journey,
      after: async () => {
        expect(await stateOf(beta, journey.vm)).toEqual(was);
        expect(await hasState(alpha, journey.vm)).toBe(false);
      },
    };
  },
};

const keptBack: DiskRow = {
  name: 'UEFI variables and the state of a TPM of a VM that is rolled back: as they were here, none there',
  lacks,
  async prepare(scene) {
    const { alpha, beta } = scene;
    const journey = await secured(scene, 'securedback');
    const was = await stateOf(alpha, journey.vm);
    return {
      ...journey,
      play: (run) =>
        playRollback(run, async () => {
          expect(await stateOf(beta, journey.vm)).toEqual(was);
        }),
      after: async () => {
        expect(await stateOf(alpha, journey.vm)).toEqual(was);
        expect(await hasState(beta, journey.vm)).toBe(false);
      },
    };
  },
};

export interface SecretOptions {
  uuid: string;
  private: boolean;
  value: string;
}

export async function defineSecret(host: LabHost, secret: SecretOptions): Promise<void> {
  const isPrivate = secret.private ? 'yes' : 'no';
  const xml = `<secret ephemeral='no' private='${isPrivate}'><uuid>${secret.uuid}</uuid></secret>`;
  await withXml(host, xml, (file) => must(host, 'secret-define', file));
  await withXml(host, secret.value, (file) =>
    must(host, 'secret-set-value', secret.uuid, '--file', file, '--plain'),
  );
}

/** Makes a raw image in LUKS with that passphrase and gives what its disk says of it. */
export async function makeLuks(
  host: LabHost,
  path: string,
  { uuid, value }: SecretOptions,
): Promise<string> {
  await withXml(host, value, (file) =>
    makeEncrypted(host, [
      ...['-f', 'luks', '--object', `secret,id=s,file=${file}`],
      ...['-o', 'key-secret=s,iter-time=10', path, '4M'],
    ]),
  );
  return `<encryption format='luks'><secret type='passphrase' uuid='${uuid}'/></encryption>`;
}

const luks: DiskRow = {
  name: 'an encrypted raw image whose secret libvirt gives out: the secret comes along',
  async prepare({ alpha, beta }) {
    const path = `${alpha.poolPath}/luks.raw`;
    const secret = {
      uuid: '5ec0de00-0000-4000-8000-000000000001',
      private: false,
      value: 'correct horse',
    };
    await defineSecret(alpha, secret);
    const source = await makeLuks(alpha, path, secret);
    const devices = diskXml({ dev: 'vda', path, format: 'raw', source });
    return {
      vm: await defineVm(alpha, { name: 'luks', devices }),
      ways: [{ name: 'vda', how: 'copy', path, format: 'raw' }],
      concerns: ['secret-moves'],
      after: async () => {
        const arrived = await must(beta, 'secret-get-value', secret.uuid);
        expect(Buffer.from(arrived, 'base64').toString()).toBe(secret.value);
      },
    };
  },
};

export const stateRows: DiskRow[] = [kept, keptBack, luks];
