import type { PlaceAnswer, PlaceInput } from '../activities/control/contract.ts';
import { failureOf, faultOf } from './faults.ts';
import { controlActivities } from './on-control.ts';

/** Which host takes a VM, and why; with a `move` in the input its room there is reserved. */
export async function place(input: PlaceInput): Promise<PlaceAnswer> {
  const what = `choose a host for ${input.vm.name}`;
  try {
    return await controlActivities(what).place(input);
  } catch (error) {
    throw failureOf(faultOf(error, { host: input.vm.host ?? '', what }));
  }
}
