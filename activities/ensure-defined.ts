import { isBelow } from '../domain/chain.ts';
import { placeOf } from '../domain/disk-plan.ts';
import type { DefineResult, DefineTargetInput, DiskPlan } from './contract.ts';
import { definitionFile } from './check-target.ts';
import { folderOf, whileOurs } from './ours.ts';
import type { DefinitionChanges, HostParts } from './parts.ts';
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
      disks: newPlaces(input.disks),
      // The epoch that the cutover will give; the metadata is a copy for people, the ledger decides.
      owner: { host: name, epoch: input.epoch + 1, moveId: input.migrationId },
    });
    await folder.write('target', { ...(await targetMemory(folder)), defined: true });
    return { complaint: await hypervisor.ensureDefined(mended, input.vm.uuid) };
  });
}

/** What changes in a definition for the target. */
export const newPlaces = (disks: readonly DiskPlan[]): DefinitionChanges['disks'] =>
  disks.filter(changesPlace).map((disk) => ({
    name: disk.name,
    ...placeOf(disk, 'target'),
    ...(disk.how === 'shared' ? { keepBacking: true as const } : {}),
  }));

/** A shared disk that both hosts see under one name keeps all that the definition says of it. */
const changesPlace = ({
  name,
  how,
  sourcePath,
  targetPath,
  sourceKind,
  targetKind,
}: DiskPlan): boolean =>
  // What a copied image lies on stands in its own header.
  !isBelow(name) && (how === 'copy' || sourcePath !== targetPath || sourceKind !== targetKind);
