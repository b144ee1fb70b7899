import { bytesTakenOf } from '../question.ts';
import type { PoolNeed, Question } from '../question.ts';
import { sizeText } from '../size-text.ts';
import type { ChangingFilter } from './filter.ts';

/** Stays free in a pool beyond the disks, as in the checks of a move: journals, overhead of the file system. */
const poolMarginBytes = 64 * 1024 * 1024;

// What has to fit is compared with `>=`, never with `<`: a figure that is no number then refuses.
const figure = (column: Float64Array | undefined, at: number): number => column?.[at] ?? Number.NaN;

const besideReserved = (at: number, { fleet }: Question): string =>
  (fleet.reservations[at] ?? []).length === 0 ? '' : ' beside what is reserved';

/** The VM's memory beside what runs and what is promised. */
export const memory: ChangingFilter = {
  name: 'memory',
  applies: () => true,
  passes: (at, { fleet, vm }) => figure(fleet.columns.freeMemoryBytes, at) >= vm.memoryBytes,
  reason: ({ name }, at, question) => {
    const { fleet, vm } = question;
    const free = sizeText(figure(fleet.columns.freeMemoryBytes, at));
    return `${vm.name} needs ${sizeText(vm.memoryBytes, 'up')} of memory, ${name} has ${free} free${besideReserved(at, question)}`;
  },
};

/** No VM wider than the host, whatever the ratio: its own vCPUs would wait for each other. */
export const vcpus: ChangingFilter = {
  name: 'vcpus',
  applies: () => true,
  passes: (at, { fleet, vm }) =>
    figure(fleet.columns.freeVcpus, at) >= vm.vcpus && figure(fleet.columns.cpus, at) >= vm.vcpus,
  reason: ({ name, cpus, vcpuRatio }, at, { fleet, vm }) =>
    cpus >= vm.vcpus
      ? `${vm.name} needs ${vm.vcpus} vCPUs, ${name} may take ${Math.max(0, figure(fleet.columns.freeVcpus, at))} more at ${vcpuRatio} for each CPU`
      : `${vm.name} has ${vm.vcpus} vCPUs, ${name} only ${cpus} CPUs`,
};

/** Room in each pool that the disks are copied to. A pool that is not there is for the filter `pools`. */
export const poolRoom: ChangingFilter = {
  name: 'pool-room',
  applies: ({ poolNeeds }) => poolNeeds.some(({ copies }) => copies),
  passes: (at, question) => {
    for (const need of question.poolNeeds)
      if (need.copies && lacks(need, at, question)) return false;
    return true;
  },
  reason: ({ name }, at, question) =>
    question.poolNeeds
      .filter((need) => need.copies && lacks(need, at, question))
      .map((need) => {
        const bytes = bytesTakenOf(need, at, question) + poolMarginBytes;
        const free = sizeText(figure(question.fleet.pools.get(need.pool)?.freeBytes, at));
        return `the disks of ${question.vm.name} need ${sizeText(bytes, 'up')} in pool ${need.pool}, ${name} has ${free} free there${besideReserved(at, question)}`;
      })
      .join('; '),
};

function lacks(need: PoolNeed, at: number, question: Question): boolean {
  const { hosts, pools } = question.fleet;
  const free = figure(pools.get(need.pool)?.freeBytes, at);
  if (free >= bytesTakenOf(need, at, question) + poolMarginBytes) return false;
  return !Number.isNaN(free) || hosts[at]?.pools.some(({ name }) => name === need.pool) === true;
}
