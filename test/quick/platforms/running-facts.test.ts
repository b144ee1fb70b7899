import { describe, expect, it } from 'vitest';
import { readDomainFacts } from '../../../platforms/libvirt/domain-facts.ts';
import { runningFactsOf } from '../../../platforms/libvirt/running-facts.ts';
import { parseXml } from '../../../platforms/libvirt/xml.ts';

const domain = (devices: string, os = '') =>
  parseXml(
    `<domain type='kvm'><name>web</name><uuid>6f1a2b3c-0000-4000-8000-000000000001</uuid>
     <memory unit='KiB'>1024</memory><os><type arch='x86_64' machine='q35'>hvm</type>${os}</os>
     <devices>${devices}</devices></domain>`,
    { root: 'domain' },
  ).documentElement!;
const disk = (name: string, path: string, more = '', format = 'qcow2') =>
  `<disk type='file' device='disk'><driver type='${format}'/><source file='${path}'/><target dev='${name}'/>${more}</disk>`;
const nic = (mac: string, bridge: string) =>
  `<interface type='bridge'><mac address='${mac}'/><source bridge='${bridge}'/></interface>`;
const cdrom = (file: string) =>
  `<disk type='file' device='cdrom'>${file === '' ? '' : `<source file='${file}'/>`}<target dev='sda'/><readonly/></disk>`;
const factsOf = (defined: string, live: string, job = '') =>
  runningFactsOf(domain(live), {
    defined: readDomainFacts(domain(defined)),
    capabilities: '',
    job,
  });

describe('where guest and definition differ', () => {
  it.each<[what: string, defined: string, live: string, drift: string[]]>([
    [
      'a disk that was unplugged',
      disk('vda', '/a') + disk('vdb', '/b'),
      disk('vda', '/a'),
      ['disk vdb (/b, qcow2) is in the definition only'],
    ],
    [
      'a disk that runs on an overlay',
      disk('vda', '/a'),
      disk('vda', '/a.snap'),
      ['disk vda is /a.snap, qcow2, in the definition /a, qcow2'],
    ],
    [
      'an interface on another bridge',
      nic('52:54:00:00:00:01', 'br0'),
      nic('52:54:00:00:00:01', 'br1'),
      ['interface 52:54:00:00:00:01 is bridge br1, in the definition bridge br0'],
    ],
    [
      'a device that was passed through meanwhile',
      '',
      `<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x03' slot='0x00' function='0x0'/></source></hostdev>`,
      ['hostdev pci 0000:03:00.0 is not in the definition'],
    ],
    ['a medium that was changed', cdrom('/a.iso'), cdrom('/b.iso'), []],
    [
      'what libvirt adds to a running guest',
      disk('vda', '/a'),
      disk(
        'vda',
        '/a',
        `<backingStore type='file'><source file='/base'/></backingStore><alias name='x'/>`,
      ),
      [],
    ],
  ])('%s', (_what, defined, live, drift) => {
    expect(factsOf(defined, live).drift).toEqual(drift);
  });
});

it('names jobs of libvirt and of QEMU', () => {
  const mirrored = disk('vda', '/a', `<mirror type='file' job='active-commit'/>`);
  const job = 'libvirt runs a job on it (operation 6)';
  expect(factsOf(disk('vda', '/a'), mirrored, job).jobs).toEqual([
    job,
    'disk vda has a block job (active-commit)',
  ]);
});

it('lists the files that the guest has open, without its variables', () => {
  const os = `<loader type='pflash'>/fw/code.fd</loader><nvram>/mine/vars.fd</nvram>`;
  const { files } = runningFactsOf(domain(disk('vda', '/a') + cdrom('/b.iso'), os), {
    defined: readDomainFacts(domain('')),
    capabilities: '',
    job: '',
  });
  expect(files).toEqual([
    { role: 'loader', path: '/fw/code.fd' },
    { role: 'other', path: '/b.iso' },
  ]);
});
