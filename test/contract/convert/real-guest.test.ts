/**
 * A real Debian, converted by the real tool, started on the target's definition: its static address answers for the
 * interface that had it. Some ten minutes by emulation, so only where it is asked for: VMFERRY_CONVERT=all.
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { probeAcceleration } from '../../../convert/acceleration.ts';
import type { GuestCard } from '../../../convert/addresses/interfaces.ts';
import { commitOverlays } from '../../../convert/commit.ts';
import { convertInPlace } from '../../../convert/in-place.ts';
import { targetShape } from '../../../convert/target-shape.ts';
import { targetXml } from '../../../convert/target-xml.ts';
import { detectTool } from '../../../convert/tool.ts';
import { ensureDebianGuest } from '../../../lab/guests/debian.ts';
import { foreignDisk, foreignNic, foreignVm } from '../../quick/convert/foreign-vm.ts';
import { startPrivateLibvirtd } from '../libvirt-protocol/private-libvirtd.ts';
import { openJournal } from './small-disks.ts';

const limitMs = 45 * 60_000;
const id = `real-guest-${process.pid}`;
const mac = '00:50:56:aa:bb:01';

const silent = { name: '', gateways: [], dns: [], searchDomains: [], addresses: [] };
const told = { address: '198.51.100.20', prefix: 24, origin: 'static' } as const;
const rows: {
  is: string;
  family: 'linux' | 'other';
  card: Omit<GuestCard, 'mac'>;
  shows: string;
}[] = [
  {
    is: 'its old name and its static address, told as vSphere does: without the name',
    family: 'linux',
    card: { ...silent, gateways: ['198.51.100.1'], addresses: [told] },
    shows: '198.51.100.20/24',
  },
  {
    is: 'both where nobody says which system it is, nor anything of its network',
    family: 'other',
    card: silent,
    shows: '198.51.100.20/24',
  },
  {
    is: 'the address that was asked for',
    family: 'linux',
    card: {
      ...{ ...silent, addresses: [told] },
      set: { addresses: ['198.51.100.77/25'], gateways: ['198.51.100.1'] },
    },
    shows: '198.51.100.77/25',
  },
];

it.runIf(process.env['VMFERRY_CONVERT'] === 'all').each(rows)(
  'a converted Debian starts with $is',
  { timeout: limitMs },
  async ({ family, card, shows }) => {
    const dir = await mkdtemp(join(tmpdir(), 'real-guest-'));
    const libvirt = join(dir, 'host');
    const path = join(dir, 'guest.raw');
    try {
      await copyFile((await ensureDebianGuest()).raw, path);
      const acceleration = await probeAcceleration({ id });
      const tool = await detectTool({ id, acceleration });
      const disks = [{ key: '2000', path, format: 'raw' as const }];
      const folder = join(dir, 'work');
      const result = await convertInPlace({
        ...{ id, vm: 'guest', disks, firmware: 'bios', folder, cache: join(dir, 'cache'), tool },
        ...{ guestFamily: family, limitMs },
        guestNetwork: [{ ...card, mac }],
      });
      expect(result.virtio).toBe(true);
      const journal = await openJournal(folder, id, disks);
      await commitOverlays(journal, { id });
      await journal.close();
      const vm = foreignVm({ disks: [foreignDisk('2000')], nics: [foreignNic('1', { mac })] });
      const shape = targetShape(vm, {
        ...{ name: 'guest', uuid: vm.uuid, domainType: acceleration === 'kvm' ? 'kvm' : 'qemu' },
        disks: [{ key: '2000', kind: 'file', path, format: 'raw' }],
        networks: new Map([['VM Network', { kind: 'bridge', name: 'br0' }]]),
        converted: true,
      });
      const before = 'ip link add br0 type bridge && ip link set br0 up';
      const host = await startPrivateLibvirtd({ dir: libvirt, before });
      try {
        const console = join(libvirt, 'console.log');
        const xml = targetXml(shape).replace(
          '<serial type="pty">',
          `<serial type="file"><source path="${console}"/>`,
        );
        await writeFile(join(libvirt, 'guest.xml'), xml.replace(/<console[^]*?<\/console>/, ''));
        await host.exec('virsh', 'create', join(libvirt, 'guest.xml'));
        const said = () => readFile(console, 'latin1').catch(() => '');
        await expect
          .poll(said, { timeout: 15 * 60_000, interval: 500 })
          .toMatch(/GUEST-ADDRESSES .*END/);
        const [told = ''] = /GUEST-ADDRESSES .*END/.exec(await said()) ?? [];
        expect(told).toContain(' ens192 ');
        expect(told).toContain(shows);
        expect(told.match(/198\.51\.100\.\d+\/\d+/g)).toEqual([shows]);
      } finally {
        await host.stop();
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  },
);
