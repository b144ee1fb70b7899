/** VMs with disks of every kind and no operating system: they start, run and stop in no time. */
import { randomUUID } from 'node:crypto';
import type { LabHost } from '../../../lab/host.ts';
import { must, withXml } from '../refusals/tiny-vm.ts';
import { soon } from './images.ts';

export interface DiskXml {
  /** `vda`, `sda`: the bus is told by it. */
  dev: string;
  path: string;
  format: 'raw' | 'qcow2';
  kind?: 'file' | 'block';
  /** Attributes of `<driver>`. */
  driver?: string;
  /** Elements inside of `<disk>`, after the target. */
  inside?: string;
  /** Elements inside of `<source>`. */
  source?: string;
}

export const diskXml = (disk: DiskXml): string => {
  const { dev, path, format, kind = 'file', driver = '', inside = '', source = '' } = disk;
  const named = `${kind === 'block' ? 'dev' : 'file'}='${path}'`;
  const bus = dev.startsWith('v') ? 'virtio' : 'scsi';
  return `<disk type='${kind}' device='disk'>
      <driver name='qemu' type='${format}' ${driver}/>
      <source ${named}>${source}</source>
      <target dev='${dev}' bus='${bus}'/>${inside}
    </disk>`;
};

export interface VmParts {
  name: string;
  /** All of `<os>` and what follows it; default a PC with its BIOS. */
  os?: string;
  /** Elements of `<domain>` before `<os>`. */
  top?: string;
  devices: string;
}

/** A VM that a row made, off and defined on one host. */
export interface MadeVm {
  name: string;
  uuid: string;
  /** Its definition as libvirt keeps it. */
  xml: string;
}

/** Defines a VM; its disks have to be there. */
export async function defineVm(host: LabHost, parts: VmParts): Promise<MadeVm> {
  const uuid = randomUUID();
  const { name, top = '', devices } = parts;
  const os = parts.os ?? `<os><type arch='x86_64' machine='pc'>hvm</type></os>`;
  const xml = `<domain type='qemu'>
  <name>${name}</name><uuid>${uuid}</uuid>
  ${top}<memory unit='MiB'>32</memory><vcpu>1</vcpu>
  ${os}
  <devices>
    ${devices}
    <controller type='usb' model='none'/><memballoon model='none'/>
  </devices>
</domain>`;
  await withXml(host, xml, (file) => host.exec(['virsh', '-q', 'define', file], soon));
  return { name, uuid, xml: await definitionOf(host, name) };
}

/** The stored definition, passwords and all. */
export const definitionOf = (host: LabHost, name: string): Promise<string> =>
  must(host, 'dumpxml', '--inactive', '--security-info', name);

export interface NamedDisk {
  dev: string;
  path: string;
  format: 'raw' | 'qcow2';
}

/** Name, path and format of each disk that has a place, as a definition says them. */
export const disksIn = (xml: string): NamedDisk[] =>
  [...xml.matchAll(/<disk [^>]*device='disk'>.*?<\/disk>/gs)].map(([disk]) => {
    const said = (pattern: RegExp): string => pattern.exec(disk)?.[1] ?? '';
    return {
      dev: said(/<target dev='([^']*)'/),
      path: said(/<source (?:file|dev)='([^']*)'/),
      format: said(/<driver [^>]*type='([^']*)'/) === 'qcow2' ? 'qcow2' : 'raw',
    };
  });

/**
 * A definition without what a move may change: where disks lie, of which kind and format they are, and vmferry's own
 * note. Two of these are equal if all else was carried through.
 */
export const carried = (xml: string): string =>
  xml
    .replace(/<vmferry:vm .*?<\/vmferry:vm>/s, '')
    .replace(/<metadata>\s*<\/metadata>/s, '')
    .replace(/<disk type='(?:file|block)'/g, '<disk')
    .replace(/(<source )(?:file|dev)='[^']*'/g, '$1')
    .replace(/(<driver name='qemu' )type='[^']*'/g, '$1')
    .replace(/>\s+</g, '><')
    .trim();
