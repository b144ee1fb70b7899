import { VmFerryError } from '../../domain/errors.ts';
import { importConcerns } from '../../domain/checks/foreign/concerns.ts';
import { blocks } from '../../domain/concerns.ts';
import type { Concern } from '../../domain/concerns.ts';
import type { HostFacts, MachineOffer } from '../../domain/host.ts';
import type { ImportPlan } from '../../domain/import.ts';
import { planImport } from '../../domain/import/plan.ts';
import type { HostParts } from '../parts.ts';
import { hostFacts } from '../read.ts';
import type { CheckImportTargetInput, ForeignCheck, ImportTargetCheck } from './contract.ts';

/** Judges the target and plans what the VM becomes; nothing is made. */
export async function checkImportTarget(
  parts: HostParts,
  input: CheckImportTargetInput,
): Promise<ImportTargetCheck> {
  const { ledger } = parts;
  const { vm, request, foreign } = input;
  const [target, entry] = await Promise.all([hostFacts(parts), ledger.read(vm.uuid)]);
  const { plan, trouble } = planned(input, target);
  const question = { vm: foreign.vm, request, target, conversionHost: foreign.host };
  const offer = await offerFor(parts, foreign, plan);
  // A check that is made again finds nothing else than the first one.
  const before = entry?.migrationId === input.migrationId ? undefined : entry;
  const found = importConcerns(question, {
    said: foreign.concerns,
    cachedBytes: foreign.cachedBytes,
    ...(foreign.host.takesImports === undefined ? {} : { enabled: foreign.host.takesImports }),
    ...(plan === undefined ? {} : { existingVolumes: await existingVolumes(parts, plan) }),
    ...(offer === undefined ? {} : { offer }),
    ...(before === undefined ? {} : { ledger: before }),
  });
  // The rules have said it already, as a rule; what they do not know must not be lost.
  const concerns = blocks(found) ? found : [...found, ...trouble];
  return {
    concerns,
    guardLive: target.guard.hookLive,
    ...(plan === undefined ? {} : { plan }),
    ...(entry === undefined ? {} : { ledger: { state: entry.state, epoch: entry.epoch } }),
  };
}

/** Undefined where no plan says for which machine, or libvirt has none such. */
async function offerFor(
  { hypervisor }: HostParts,
  { vm }: ForeignCheck,
  plan: ImportPlan | undefined,
): Promise<MachineOffer | undefined> {
  if (plan === undefined) return undefined;
  const { domainType, machine } = plan;
  return hypervisor.machineOffer({ domainType, arch: vm.arch, machine });
}

async function existingVolumes(
  { hypervisor }: HostParts,
  { disks }: ImportPlan,
): Promise<string[]> {
  const found: string[] = [];
  for (const { targetPool, targetVolume } of disks)
    if (await hypervisor.volumeExists(targetPool, targetVolume))
      found.push(`${targetPool}/${targetVolume}`);
  return found;
}

function planned(
  { request, foreign, vm }: CheckImportTargetInput,
  target: HostFacts,
): { plan?: ImportPlan; trouble: Concern[] } {
  try {
    const plan = planImport({ vm: foreign.vm, request, target, newUuid: vm.uuid });
    return { plan, trouble: [] };
  } catch (error) {
    if (!(error instanceof VmFerryError)) throw error;
    const { code, message, remedy, host } = error;
    const where = host === undefined ? {} : { host };
    return { trouble: [{ level: 'critical', code, message, remedy, ...where }] };
  }
}
