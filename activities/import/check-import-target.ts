import { VmFerryError } from '../../domain/errors.ts';
import type { Concern } from '../../domain/concerns.ts';
import type { HostFacts } from '../../domain/host.ts';
import type { ImportPlan } from '../../domain/import.ts';
import { planImport } from '../../domain/import/plan.ts';
import type { HostParts } from '../parts.ts';
import { hostFacts } from '../read.ts';
import type { CheckImportTargetInput, ImportTargetCheck } from './contract.ts';

/** Judges the target and plans what the VM becomes; nothing is made. */
export async function checkImportTarget(
  parts: HostParts,
  input: CheckImportTargetInput,
): Promise<ImportTargetCheck> {
  const { ledger } = parts;
  const { vm } = input;
  const [target, entry] = await Promise.all([hostFacts(parts), ledger.read(vm.uuid)]);
  const { plan, concerns } = planned(input, target);
  return {
    concerns,
    guardLive: target.guard.hookLive,
    ...(plan === undefined ? {} : { plan }),
    ...(entry === undefined ? {} : { ledger: { state: entry.state, epoch: entry.epoch } }),
  };
}

function planned(
  { request, foreign, vm }: CheckImportTargetInput,
  target: HostFacts,
): { plan?: ImportPlan; concerns: Concern[] } {
  try {
    const { domainType } = request.shape;
    const plan = planImport({
      ...{ vm: foreign.vm, request, target, newUuid: vm.uuid },
      ...(domainType === undefined ? {} : { domainType }),
    });
    return { plan, concerns: [] };
  } catch (error) {
    if (!(error instanceof VmFerryError)) throw error;
    const { code, message, remedy, host } = error;
    const where = host === undefined ? {} : { host };
    return { concerns: [{ level: 'critical', code, message, remedy, ...where }] };
  }
}
