/** Forgetting a domain, with or without what libvirt keeps of it in files of its own. */
import { permanent } from '../../domain/errors.ts';
import type { KeptState } from '../../domain/vm.ts';
import { DomainXmlFlag, UndefineFlag } from '../../protocols/libvirt/index.ts';
import type { Connection, DomainRef } from '../../protocols/libvirt/index.ts';
import { DomainDocument } from './domain-xml.ts';
import { isRefusal } from './faults.ts';
import { otherUserOfNvram } from './nvram-owner.ts';

/**
 * Undefines a domain that is off, with its managed save and the metadata of its snapshots and checkpoints. Disks stay.
 *
 * libvirt removes a TPM's state by itself unless it is told to keep it, and before 8.9 it cannot be told: there the
 * domain stays defined rather than lose what may be the key of its disks. Throws `tpm-state-would-go`.
 */
export async function undefineDomain(
  connection: Connection,
  dom: DomainRef,
  { state, host }: { state: 'keep' | 'remove'; host: string },
): Promise<void> {
  const { managedSave, snapshotsMetadata, checkpointsMetadata } = UndefineFlag;
  const always = managedSave | snapshotsMetadata | checkpointsMetadata;
  const kept = await keptState(connection, dom);
  const nvram = await nvramFlag(connection, { dom, state, kept });
  const tpm = state === 'remove' ? UndefineFlag.tpm : UndefineFlag.keepTpm;
  if (!kept.some(({ role }) => role === 'tpm')) {
    await connection.call('DomainUndefineFlags', { dom, flags: always | nvram });
    return;
  }
  try {
    await connection.call('DomainUndefineFlags', { dom, flags: always | nvram | tpm });
  } catch (error) {
    // The answer to a flag that the daemon does not know.
    if (!isRefusal(error, 'INVALID_ARG')) throw error;
    if (state === 'keep') throw tpmWouldGo(host, { dom, cause: error });
    await connection.call('DomainUndefineFlags', { dom, flags: always | nvram });
  }
}

async function keptState(connection: Connection, dom: DomainRef): Promise<KeptState[]> {
  const flags = DomainXmlFlag.inactive;
  const { xml } = await connection.call('DomainGetXMLDesc', { dom, flags });
  return DomainDocument.parse(xml).facts().keptState;
}

/** Variables that another VM's definition uses, too, are not this one's to remove. */
async function nvramFlag(
  connection: Connection,
  { dom, state, kept }: { dom: DomainRef; state: 'keep' | 'remove'; kept: readonly KeptState[] },
): Promise<number> {
  const path = kept.find(({ role }) => role === 'nvram')?.path;
  if (state === 'keep' || path === undefined)
    return state === 'keep' ? UndefineFlag.keepNvram : UndefineFlag.nvram;
  const other = await otherUserOfNvram(connection, { path, uuid: dom.uuid });
  return other === undefined ? UndefineFlag.nvram : UndefineFlag.keepNvram;
}

const tpmWouldGo = (host: string, { dom, cause }: { dom: DomainRef; cause: unknown }) =>
  permanent({
    code: 'tpm-state-would-go',
    message: `libvirt on ${host} is too old to undefine ${dom.name} and keep the state of its TPM`,
    remedy: `Copy /var/lib/libvirt/swtpm/${dom.uuid} aside and undefine the VM there by hand, or update libvirt to 8.9 or newer.`,
    host,
    cause,
  });
