import { expect, it } from 'vitest';
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

it('refuses what are no capabilities', () => {
  expect(() => readCapabilities('<domain/>')).toThrow(/root element/);
});
