import { targetShape } from '../../convert/target-shape.ts';
import type { TargetDisk, TargetNetwork } from '../../convert/target-shape.ts';
import { targetXml } from '../../convert/target-xml.ts';
import type { ForeignNic, ForeignVm } from '../../domain/foreign.ts';
import type { ImportPlan, NetworkChoice } from '../../domain/import.ts';
import type { DefineImportInput } from './contract.ts';
import { newPlaces } from '../ensure-defined.ts';
import { folderOf, whileOurs } from '../ours.ts';
import type { HostParts } from '../parts.ts';
import { targetMemory } from '../reserve-target.ts';

/** Defines what the plan makes of a foreign VM; the guard still refuses its start. */
export async function defineImport(
  parts: HostParts,
  input: DefineImportInput,
  signal: AbortSignal,
): Promise<{ complaint: string }> {
  const { hypervisor, name } = parts;
  const { vm, migrationId, epoch } = input;
  const folder = folderOf(parts, input);
  const options = { ref: input, states: ['incoming'] as const, operation: 'define', signal };
  return whileOurs(parts, options, async () => {
    const xml = hypervisor.mend(definitionOf(input), {
      disks: newPlaces(input.disks),
      // The epoch that the cutover will give; the metadata is a copy for people, the ledger decides.
      owner: { host: name, epoch: epoch + 1, moveId: migrationId },
    });
    await folder.write('target', { ...(await targetMemory(folder)), defined: true });
    return { complaint: await hypervisor.ensureDefined(xml, vm.uuid) };
  });
}

/** Of a place that is no file only `mend` knows how to write it. */
const unsettled = '/nowhere';

/** As the target's libvirt gets it, but for places that only its hypervisor knows how to write. */
export function definitionOf({
  foreign,
  plan,
  disks,
}: Pick<DefineImportInput, 'foreign' | 'plan' | 'disks'>): string {
  const { name, uuid, domainType, machine, converted, bus, memoryBytes, cpus } = plan;
  const placed = plan.disks.map(({ key, name: disk }): TargetDisk => {
    const { targetFormat, targetKind, targetPath } = disks.find((one) => one.name === disk) ?? {};
    if (targetFormat === undefined) throw new Error(`disk ${disk} was not reserved`);
    const path = targetKind === 'file' ? (targetPath ?? '') : unsettled;
    return { key, kind: 'file', path, format: targetFormat };
  });
  const nics = nicsOf(foreign, plan);
  const shape = targetShape(
    { ...foreign, nics: nics.map(({ nic }) => nic) },
    {
      ...{ name, uuid, domainType, machine, converted, bus, memoryBytes, cpus },
      disks: placed,
      networks: new Map(nics.map(({ nic, network }) => [nic.network, network])),
      secureBoot: plan.secureBoot,
      tpm: plan.tpm,
    },
  );
  return targetXml(shape);
}

/** As planned: MACs are settled, and each NIC is a network of its own name for the shape. */
function nicsOf(
  foreign: ForeignVm,
  plan: ImportPlan,
): { nic: ForeignNic; network: TargetNetwork }[] {
  return plan.nics.map(({ key, mac, network }, index) => {
    const known = foreign.nics.find((one) => one.key === key);
    const nic = { key, mac, model: '', connected: true, ...known };
    return { nic: { ...nic, mac, network: `nic-${index}` }, network: networkOf(network) };
  });
}

const networkOf = (choice: NetworkChoice): TargetNetwork => {
  const [kind, ...name] = choice.split(':');
  return { kind: kind === 'bridge' ? 'bridge' : 'network', name: name.join(':') };
};
