/** What only an OVA can say against moving a machine in it. */
import type { Concern } from '../../domain/concerns.ts';
import type { DiskLook } from './disk-look.ts';
import type { OvfMachine } from './ovf-machine.ts';
import { quoted } from './faults.ts';
import type { Papers } from './papers.ts';

/** What is known of a machine and of the package around it. */
export interface Known {
  path: string;
  machine: OvfMachine;
  /** By the disk's key. */
  looks: Map<string, DiskLook>;
  papers: Papers;
  scratchDir: string;
  checksManifest: boolean;
}

/** Codes: those of the faults of its disks, `ova-...` of the rest. */
export const concernsOf = (known: Known): Concern[] => [
  ...manifestConcerns(known),
  ...diskConcerns(known),
  ...guestConcerns(known),
];

function manifestConcerns({ path, machine, papers, checksManifest }: Known): Concern[] {
  const { manifest, certificate } = papers;
  const found: Concern[] = [];
  const say = (code: string, message: string, remedy: string): unknown =>
    found.push({ code, level: 'warning', message, remedy });
  if (manifest === undefined) {
    say(
      'ova-manifest-absent',
      `${path} has no manifest: nothing tells whether its files are as they were exported`,
      'Compare its checksum with one from who exported it, or export it with a manifest.',
    );
  } else if (!checksManifest) {
    const remedy = 'Leave the check on, unless the digests were compared by other means.';
    say('ova-manifest-ignored', `the manifest of ${path} is not checked, as asked`, remedy);
  } else {
    const files = machine.disks.flatMap(({ disk }) => (disk.file === undefined ? [] : [disk.file]));
    const missing = files.find(
      ({ href, chunkBytes }) => chunkBytes === 0 && !isListed(manifest, href),
    );
    if (missing !== undefined) {
      const message = `the manifest of ${path} says nothing of ${quoted(missing.href)}`;
      say('ova-manifest-incomplete', message, 'Export the VM again, or check the file yourself.');
    }
  }
  if (certificate !== '') {
    const message = `${path} is signed (${quoted(certificate)}); the signature is not checked`;
    found.push({
      code: 'ova-certificate-unchecked',
      level: 'information',
      message,
      remedy: 'Check it with ovftool, or with openssl, if it matters who exported the VM.',
    });
  }
  return found;
}

function isListed(manifest: Map<string, unknown>, href: string): boolean {
  if (manifest.has(href.replace(/^(?:\.\/)+/, ''))) return true;
  try {
    return manifest.has(decodeURIComponent(href));
  } catch {
    return false;
  }
}

function diskConcerns({ path, machine, looks, scratchDir }: Known): Concern[] {
  return machine.disks.flatMap(({ key, disk }): Concern[] => {
    const look = looks.get(key);
    if (look === undefined) return [];
    if (look.fault !== undefined) {
      const { code, message, remedy } = look.fault;
      return [{ code, level: 'critical', message, remedy }];
    }
    const found: Concern[] = [];
    if (disk.capacityBytes !== 0 && disk.capacityBytes !== look.capacityBytes) {
      found.push({
        code: 'ova-capacity-differs',
        level: 'warning',
        message: `the disk ${quoted(key)} of ${path} has ${look.capacityBytes} bytes, its OVF says ${disk.capacityBytes}`,
        remedy:
          'Nothing, if the OVF was edited by hand: the image counts. Else export the VM again.',
      });
    }
    if (disk.file?.gzip === true) {
      found.push({
        code: 'ova-disk-gzipped',
        level: 'information',
        message: `the disk ${quoted(key)} of ${path} is gzipped: its image is inflated into ${scratchDir} while it is read, ${look.fileBytes} bytes or more`,
        remedy: 'Keep that room free, or decompress the OVA first.',
      });
    }
    return found;
  });
}

function guestConcerns({ machine }: Known): Concern[] {
  const { name, properties } = machine;
  if (properties.length === 0) return [];
  const some = properties.slice(0, 5).join(', ');
  return [
    {
      code: 'ova-properties-not-passed',
      level: 'warning',
      message: `${quoted(name)} asks its platform for settings at its first boot (${quoted(some)}), which it does not get here`,
      remedy: 'Set them in the guest after the move, or deploy the OVA on VMware first.',
    },
  ];
}
