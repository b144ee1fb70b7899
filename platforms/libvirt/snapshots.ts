/** What libvirt notes of a VM's snapshots; their content is in the disks and does not cross. */
import {
  SnapshotCreateFlag,
  SnapshotListFlag,
  SnapshotXmlFlag,
} from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import { isRefusal } from './faults.ts';
import { elementAt, parseXml, textOf } from './xml.ts';

/** One snapshot's definition, passwords included. */
export interface SnapshotContent {
  xml: string;
  /** The one that the VM's disks are based on now. */
  current: boolean;
}

/** All snapshots, parents before children. */
export async function readSnapshots(
  connection: Connection,
  dom: DomainRef,
): Promise<SnapshotContent[]> {
  const { snapshots } = await connection.call('DomainListAllSnapshots', {
    dom,
    needResults: 1,
    flags: SnapshotListFlag.topological,
  });
  if (snapshots.length === 0) return [];
  const current = await currentSnapshot(connection, dom);
  const contents: SnapshotContent[] = [];
  for (const snapshot of snapshots) {
    const flags = SnapshotXmlFlag.secure;
    const { xml } = await connection.call('DomainSnapshotGetXMLDesc', { snapshot, flags });
    contents.push({ xml, current: snapshot.name === current });
  }
  return contents;
}

async function currentSnapshot(
  connection: Connection,
  dom: DomainRef,
): Promise<string | undefined> {
  try {
    return (await connection.call('DomainSnapshotCurrent', { dom })).snapshot.name;
  } catch (error) {
    if (isRefusal(error, 'NO_DOMAIN_SNAPSHOT')) return undefined;
    throw error;
  }
}

/** Tells libvirt of them in their order; no image is touched. Those that it knows already are written anew. */
export async function ensureSnapshots(
  connection: Connection,
  dom: DomainRef,
  snapshots: readonly SnapshotContent[],
): Promise<void> {
  for (const { xml, current } of snapshots) {
    const flags = SnapshotCreateFlag.redefine | (current ? SnapshotCreateFlag.current : 0);
    await connection.call('DomainSnapshotCreateXML', { dom, xml, flags });
  }
}

/** Whether the text is a snapshot of that VM; libvirt looks too, but only once others may be written. */
export function isSnapshotOf(uuid: string, xml: string): boolean {
  const root = parseXml(xml, { root: 'domainsnapshot' }).documentElement;
  if (root === null) return false;
  const owner = textOf(elementAt(root, 'domain', 'uuid')).toLowerCase();
  // Snapshots of very old libvirt versions hold only the UUID.
  return owner === uuid.toLowerCase() && textOf(elementAt(root, 'name')) !== '';
}
