/** The target's domain XML from a settled shape. virt-v2v's own is not used: it loses MACs, names and `type='qemu'`. */
import { diskLetters } from './input-xml.ts';
import type { TargetDisk, TargetNic, TargetShape } from './target-shape.ts';
import { node, writeXml } from './xml.ts';
import type { Node } from './xml.ts';

/** Throws `xml-value-invalid`. Everything else was settled by `targetShape`. */
export function targetXml(shape: TargetShape): string {
  const { domainType, name, uuid, memoryBytes, cpus } = shape;
  return writeXml(
    node('domain', { type: domainType }, [
      node('name', {}, [name]),
      node('uuid', {}, [uuid]),
      node('memory', { unit: 'KiB' }, [String(Math.ceil(memoryBytes / 1024))]),
      node('vcpu', {}, [String(cpus)]),
      firmware(shape),
      features(shape),
      cpu(shape),
      clock(shape),
      node('on_poweroff', {}, ['destroy']),
      node('on_reboot', {}, ['restart']),
      node('on_crash', {}, ['destroy']),
      devices(shape),
    ]),
  );
}

/**
 * libvirt finds the firmware file by what is asked of it. The UEFI variables begin empty, so there is no boot entry
 * of the source's: the disk with boot order 1 starts by its fallback path, `EFI/BOOT/BOOTX64.EFI`.
 */
function firmware({ firmware: kind, secureBoot, arch, machine }: TargetShape): Node {
  const type = node('type', { arch, machine }, ['hvm']);
  if (kind === 'bios') return node('os', {}, [type]);
  const enabled = secureBoot ? 'yes' : 'no';
  return node('os', { firmware: 'efi' }, [
    type,
    node('firmware', {}, [
      node('feature', { enabled, name: 'enrolled-keys' }),
      node('feature', { enabled, name: 'secure-boot' }),
    ]),
  ]);
}

const features = ({ windows, domainType, secureBoot }: TargetShape): Node =>
  node('features', {}, [
    node('acpi'),
    node('apic'),
    // QEMU's emulation has none of Hyper-V's interfaces.
    windows && domainType === 'kvm' ? hyperv : undefined,
    // Firmware that enforces Secure Boot keeps its variables behind system management mode.
    secureBoot ? node('smm', { state: 'on' }) : undefined,
  ]);

const hyperv = node('hyperv', { mode: 'custom' }, [
  node('relaxed', { state: 'on' }),
  node('vapic', { state: 'on' }),
  node('spinlocks', { state: 'on', retries: 8191 }),
  node('vpindex', { state: 'on' }),
  node('synic', { state: 'on' }),
  node('stimer', { state: 'on' }),
]);

function cpu({ domainType, cpus, coresPerSocket }: TargetShape): Node {
  const mode = domainType === 'kvm' ? { mode: 'host-model', check: 'partial' } : {};
  const sockets = cpus / coresPerSocket;
  return node('cpu', mode, [node('topology', { sockets, cores: coresPerSocket, threads: 1 })]);
}

function clock({ windows, domainType }: TargetShape): Node {
  return node('clock', { offset: windows ? 'localtime' : 'utc' }, [
    node('timer', { name: 'rtc', tickpolicy: 'catchup' }),
    node('timer', { name: 'pit', tickpolicy: 'delay' }),
    node('timer', { name: 'hpet', present: 'no' }),
    windows && domainType === 'kvm'
      ? node('timer', { name: 'hypervclock', present: 'yes' })
      : undefined,
  ]);
}

function devices(shape: TargetShape): Node {
  const { emulator, disks, bus, cdroms, nics, tpm } = shape;
  // SCSI and SATA share one row of names, `sda` and on; virtio and IDE have their own.
  const driveBus = shape.machine === 'pc' ? 'ide' : 'sata';
  const shared = prefixes[bus] === prefixes[driveBus];
  return node('devices', {}, [
    emulator === undefined ? undefined : node('emulator', {}, [emulator]),
    ...disks.map((disk, index) => diskNode(disk, index, bus)),
    ...cdroms.map((path, index) => cdromNode(path, index + (shared ? disks.length : 0), driveBus)),
    bus === 'virtio-scsi'
      ? node('controller', { type: 'scsi', index: 0, model: 'virtio-scsi' })
      : undefined,
    ...nics.map(nicNode),
    node('serial', { type: 'pty' }, [node('target', { port: 0 })]),
    node('console', { type: 'pty' }, [node('target', { type: 'serial', port: 0 })]),
    node('channel', { type: 'unix' }, [
      node('target', { type: 'virtio', name: 'org.qemu.guest_agent.0' }),
    ]),
    node('input', { type: 'tablet', bus: 'usb' }),
    tpm
      ? node('tpm', { model: 'tpm-crb' }, [node('backend', { type: 'emulator', version: '2.0' })])
      : undefined,
    node('graphics', { type: 'vnc', autoport: 'yes', listen: '127.0.0.1' }),
    // What every firmware and every installer's driver knows.
    node('video', {}, [node('model', { type: 'vga' })]),
    node('memballoon', { model: 'virtio' }),
  ]);
}

const prefixes = { 'virtio-scsi': 'sd', 'virtio-blk': 'vd', sata: 'sd', ide: 'hd' } as const;
const busNames = {
  'virtio-scsi': 'scsi',
  'virtio-blk': 'virtio',
  sata: 'sata',
  ide: 'ide',
} as const;

function diskNode(disk: TargetDisk, index: number, bus: TargetShape['bus']): Node {
  return node('disk', { type: disk.kind, device: 'disk' }, [
    node('driver', { name: 'qemu', type: disk.format, discard: 'unmap' }),
    node('source', disk.kind === 'file' ? { file: disk.path } : { dev: disk.path }),
    node('target', { dev: `${prefixes[bus]}${diskLetters(index)}`, bus: busNames[bus] }),
    // All of them in order: which disk is first must not depend on how the firmware counts.
    node('boot', { order: index + 1 }),
  ]);
}

const cdromNode = (path: string, index: number, bus: 'ide' | 'sata'): Node =>
  node('disk', { type: 'file', device: 'cdrom' }, [
    node('driver', { name: 'qemu', type: 'raw' }),
    path === '' ? undefined : node('source', { file: path }),
    node('target', { dev: `${prefixes[bus]}${diskLetters(index)}`, bus }),
    node('readonly'),
  ]);

const nicNode = ({ mac, network, model, connected }: TargetNic): Node =>
  node('interface', { type: network.kind }, [
    mac === '' ? undefined : node('mac', { address: mac }),
    node(
      'source',
      network.kind === 'bridge' ? { bridge: network.name } : { network: network.name },
    ),
    node('model', { type: model }),
    connected ? undefined : node('link', { state: 'down' }),
  ]);
