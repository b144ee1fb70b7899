import type {
  InspectForeignInput,
  InspectForeignResult,
  ListForeignInput,
  ListForeignResult,
} from '../activities/import/contract.ts';
import type { ConversionHostFacts } from '../domain/import.ts';
import type { UsageOverTime } from '../domain/import/usage.ts';
import type { AtConversionHost, ConversionUsageInput, DropCacheInput } from './contract.ts';
import { orFault } from './faults.ts';
import { activitiesOf, limits } from './on-host.ts';

/** A foreign platform may take its time to tell of thousands of VMs. */
const inventory = { ...limits.check, attemptMs: 5 * 60_000 };

/** One page of a provider's inventory, read now. */
export async function listForeign({
  host,
  ...input
}: ListForeignInput & AtConversionHost): Promise<ListForeignResult> {
  const what = `list the VMs of ${input.provider}`;
  return orFault(host, what, () =>
    activitiesOf(host, `${host}: ${what}`, inventory).listForeign(input),
  );
}

/** One foreign VM's facts; the client resolves names by it before an import starts. */
export async function inspectForeign({
  host,
  ...input
}: InspectForeignInput & AtConversionHost): Promise<InspectForeignResult> {
  const what = `look up ${input.vm} at ${input.provider}`;
  return orFault(host, what, () =>
    activitiesOf(host, `${host}: ${what}`, limits.check).inspectForeign(input),
  );
}

/** What a conversion host has, the names of its providers included. */
export async function conversionFacts({ host }: AtConversionHost): Promise<ConversionHostFacts> {
  const what = 'read the facts of the conversion host';
  return orFault(host, what, () =>
    activitiesOf(host, `${host}: ${what}`, limits.check).conversionFacts(),
  );
}

/** How full the disks of a conversion host were. */
export async function conversionUsage({
  host,
  span,
}: ConversionUsageInput): Promise<UsageOverTime> {
  const what = 'read how full its disks were';
  return orFault(host, what, () =>
    activitiesOf(host, `${host}: ${what}`, limits.check).conversionUsage({ span }),
  );
}

/** Drops what an import that is over left in the cache. */
export async function dropCache({ host, provider, vm }: DropCacheInput): Promise<void> {
  const what = `drop the cache of ${vm.name}`;
  await orFault(host, what, () =>
    activitiesOf(host, `${host}: ${what}`, limits.act).dropCache({ provider, foreign: vm }),
  );
}
