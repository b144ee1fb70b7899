import { node, writeXml } from './xml.ts';

export interface ConversionInput {
  /** For the tool's messages. */
  vm: string;
  /** In the order of the VM: the boot disk first. Absolute paths of qcow2 overlays. */
  overlays: readonly string[];
  firmware: 'bios' | 'uefi';
}

const letters = 'abcdefghijklmnopqrstuvwxyz';

/** Names of disks as the kernel counts them: `a` ... `z`, `aa` ... . */
export function diskLetters(index: number): string {
  const last = letters.charAt(index % letters.length);
  return index < letters.length ? last : diskLetters(Math.floor(index / letters.length) - 1) + last;
}

/**
 * What virt-v2v-in-place has to know of a VM, and no more: it reads disks, their order and the firmware, and writes
 * none of it back. Networks are left out, as the target's definition is ours.
 */
export function conversionInputXml({ vm, overlays, firmware }: ConversionInput): string {
  const disks = overlays.map((path, index) =>
    node('disk', { type: 'file', device: 'disk' }, [
      node('driver', { name: 'qemu', type: 'qcow2' }),
      node('source', { file: path }),
      node('target', { dev: `sd${diskLetters(index)}`, bus: 'scsi' }),
    ]),
  );
  return writeXml(
    node('domain', { type: 'kvm' }, [
      node('name', {}, [vm]),
      node('memory', { unit: 'KiB' }, ['1048576']),
      node('vcpu', {}, ['1']),
      node('os', firmware === 'uefi' ? { firmware: 'efi' } : {}, [
        node('type', { arch: 'x86_64' }, ['hvm']),
      ]),
      node('features', {}, [node('acpi')]),
      node('devices', {}, disks),
    ]),
  );
}
