import { expect, it } from 'vitest';
import { machineOfferOf } from '../../../platforms/libvirt/firmware.ts';
import { readCapabilities } from '../../../platforms/libvirt/host-facts.ts';

const capabilities = `<capabilities>
  <host><uuid>11111111-2222-4333-8444-55555555aaaa</uuid><cpu><arch>x86_64</arch></cpu></host>
  <guest><os_type>hvm</os_type>
    <arch name='x86_64'>
      <machine canonical='pc-i440fx-7.2'>pc</machine><machine>pc-i440fx-7.2</machine>
      <domain type='qemu'/>
      <domain type='kvm'><machine canonical='pc-q35-7.2'>q35</machine></domain>
    </arch>
  </guest>
  <guest><os_type>xen</os_type><arch name='x86_64'><machine>xenpv</machine><domain type='xen'/></arch></guest>
</capabilities>`;

it('reads how CPUs and memory lie together', () => {
  const cell = (id: number, cpus: number) =>
    `<cell id='${id}'><memory unit='KiB'>2097152</memory><cpus num='${cpus}'><cpu id='0'/></cpus></cell>`;
  const topology = `<topology><cells num='2'>${cell(0, 8)}${cell(1, 4)}</cells></topology>`;
  const { numa } = readCapabilities(capabilities.replace('</host>', `${topology}</host>`));
  const memoryBytes = 2 * 1024 ** 3;
  expect(numa).toEqual([
    { cpus: 8, memoryBytes },
    { cpus: 4, memoryBytes },
  ]);
});

it('reads machines by domain type and architecture, with their canonical names', () => {
  expect(readCapabilities(capabilities)).toEqual({
    hostUuid: '11111111-2222-4333-8444-55555555aaaa',
    arch: 'x86_64',
    machines: [
      'kvm/x86_64/pc-q35-7.2',
      'kvm/x86_64/q35',
      'qemu/x86_64/pc',
      'qemu/x86_64/pc-i440fx-7.2',
    ],
  });
});

const domainCapabilities = (
  firmware: string,
  { secure = '', devices = '' } = {},
): string => `<domainCapabilities>
  <os supported='yes'>
    <enum name='firmware'>${firmware}</enum>
    <loader supported='yes'>
      <value>/fw/secure.fd</value><value>/fw/4m.fd</value>
      <enum name='type'><value>rom</value><value>pflash</value></enum>${secure}
    </loader>
  </os>
  <cpu><mode name='custom' supported='yes'><model>qemu64</model></mode></cpu>
  <devices>${devices}</devices>
</domainCapabilities>`;

it('reads the UEFI firmware that libvirt chooses from, in its order', () => {
  const both = domainCapabilities('<value>bios</value><value>efi</value>');
  expect(machineOfferOf(both)).toEqual({ efiLoaders: ['/fw/secure.fd', '/fw/4m.fd'] });
  expect(machineOfferOf(domainCapabilities('<value>bios</value>'))).toEqual({ efiLoaders: [] });
  const none = "<domainCapabilities><os supported='no'/></domainCapabilities>";
  expect(machineOfferOf(none)).toEqual({ efiLoaders: [] });
});

const choices = (name: string, ...values: string[]): string =>
  `<enum name='${name}'>${values.map((one) => `<value>${one}</value>`).join('')}</enum>`;

it.each([
  [choices('secure', 'yes', 'no'), true],
  [choices('secure', 'no'), false],
])('reads whether one of them can do Secure Boot: %s', (secure, expected) => {
  const xml = domainCapabilities('<value>efi</value>', { secure });
  expect(machineOfferOf(xml).secureBoot).toBe(expected);
});

it.each([
  ["<tpm supported='no'/>", false],
  [`<tpm supported='yes'>${choices('backendModel', 'passthrough')}</tpm>`, false],
  [`<tpm supported='yes'>${choices('backendModel', 'passthrough', 'emulator')}</tpm>`, true],
  ["<disk supported='yes'/>", undefined],
])('reads whether it can emulate a TPM: %s', (devices, expected) => {
  expect(machineOfferOf(domainCapabilities('', { devices })).tpm).toBe(expected);
});

it('refuses what are no capabilities', () => {
  expect(() => readCapabilities('<domain/>')).toThrow(/root element/);
  expect(() => machineOfferOf('<domain/>')).toThrow(/root element/);
});
