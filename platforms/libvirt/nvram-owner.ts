/** Whose UEFI variables a file holds: a renamed VM keeps the file of its old name, which then looks like another's. */
import { DomainXmlFlag } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import { DomainDocument } from './domain-xml.ts';
import { isRefusal } from './faults.ts';
import { XmlError } from './xml.ts';

/** The name of another VM of this host whose definition uses the file; undefined if there is none. */
export async function otherUserOfNvram(
  connection: Connection,
  { path, uuid }: { path: string; uuid: string },
): Promise<string | undefined> {
  const { domains } = await connection.call('ConnectListAllDomains', { needResults: 1 });
  for (const dom of domains) {
    if (dom.uuid === uuid) continue;
    if ((await nvramPaths(connection, dom)).includes(path)) return dom.name;
  }
  return undefined;
}

async function nvramPaths(connection: Connection, dom: DomainRef): Promise<string[]> {
  try {
    const flags = DomainXmlFlag.inactive;
    const { xml } = await connection.call('DomainGetXMLDesc', { dom, flags });
    const { keptState, hostFiles } = DomainDocument.parse(xml).facts();
    return [...keptState, ...hostFiles]
      .filter(({ role }) => role === 'nvram')
      .map(({ path }) => path);
  } catch (error) {
    // It is gone meanwhile, or so odd that no move has to do with it.
    if (isRefusal(error, 'NO_DOMAIN') || error instanceof XmlError) return [];
    throw error;
  }
}
