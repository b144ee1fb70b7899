import type { DefineResult, DefineTargetInput } from './contract.ts';
import { definitionFile } from './check-target.ts';
import { folderOf, whileOurs } from './ours.ts';
import type { HostParts } from './parts.ts';
import { targetMemory } from './reserve-target.ts';

/** Defines the VM on the target from the definition that the check took over; the guard still refuses its start. */
export async function ensureDefined(
  parts: HostParts,
  input: DefineTargetInput,
  signal: AbortSignal,
): Promise<DefineResult> {
  const { hypervisor, name } = parts;
  const folder = folderOf(parts, input);
  const options = { ref: input, states: ['incoming'] as const, operation: 'define', signal };
  return whileOurs(parts, options, async () => {
    const xml = (await folder.readFile(definitionFile)).toString('utf8');
    const mended = hypervisor.mend(xml, {
      disks: input.disks.map((disk) => ({
        name: disk.name,
        kind: disk.targetKind,
        path: disk.targetPath,
        format: disk.targetFormat,
      })),
      // The epoch that the cutover will give; the metadata is a copy for people, the ledger decides.
      owner: { host: name, epoch: input.epoch + 1, moveId: input.migrationId },
    });
    await folder.write('target', { ...(await targetMemory(folder)), defined: true });
    return { complaint: await hypervisor.ensureDefined(mended, input.vm.uuid) };
  });
}
