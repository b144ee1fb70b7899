/**
 * What libvirt 9.0 leaves in the source's QEMU of a disk that was being copied along when the link died: the two block
 * nodes of the copy. Nothing uses them, and the next run is refused for their names ("Duplicate nodes with
 * node-name='migration-vda-storage'") until the VM is turned off. Seen with a link that was cut for two minutes, in which
 * QEMU answered nothing.
 */
import { needsOperator, transient } from '../../../domain/errors.ts';
import type { VmFerryError } from '../../../domain/errors.ts';
import { LibvirtError } from '../../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../../protocols/libvirt/index.ts';

export const isForLeftNodes = (error: unknown): error is LibvirtError =>
  error instanceof LibvirtError && /Duplicate nodes with node-name='migration-/.test(error.message);

/** The upper one first: it holds the other. */
const nodesOf = (disk: string): string[] => [
  `migration-${disk}-format`,
  `migration-${disk}-storage`,
];

/** QEMU refuses to drop a node that anything uses. */
const isGone = (refusal: string): boolean => /Failed to find node|Cannot find/.test(refusal);

/** Drops them, and gives the fault for the run that was refused for them; throws what keeps it from libvirt. */
export async function dropLeftNodes(
  connection: Connection,
  dom: DomainRef,
  about: { disks: readonly string[]; host: string; cause: unknown },
): Promise<VmFerryError> {
  const { disks, host, cause } = about;
  const refusals: string[] = [];
  for (const node of disks.flatMap(nodesOf)) {
    const order = { execute: 'blockdev-del', arguments: { 'node-name': node } };
    const { error } = await connection.qemuMonitor(dom, order);
    if (error !== undefined && !isGone(error.desc)) refusals.push(`${node}: ${error.desc}`);
  }
  const what = `QEMU on ${host} kept parts of an earlier copy of the disks of ${dom.name}`;
  if (refusals.length === 0) {
    return transient({
      code: 'live-nodes-left',
      message: `${what}; they were dropped`,
      remedy: 'It is tried again; nothing to do.',
      ...{ host, cause },
    });
  }
  return needsOperator({
    code: 'live-nodes-in-use',
    message: `${what}, and does not let go of them (${refusals.join('; ')})`,
    remedy: `See virsh domblklist and virsh blockjob of ${dom.name} on ${host} and end what still copies; or turn the VM off and on, which clears them. Then move it again.`,
    ...{ host, cause },
  });
}
