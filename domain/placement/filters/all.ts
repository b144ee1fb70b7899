import { rememberedAsks } from '../fleet.ts';
import type { Question } from '../question.ts';
import type { ChangingFilter, FixedFilter } from './filter.ts';
import { affinity, antiAffinity } from './groups.ts';
import { labels } from './labels.ts';
import { networks } from './networks.ts';
import { cpuModel, firmware, machine } from './platform.ts';
import { pools } from './pools.ts';
import { memory, poolRoom, vcpus } from './room.ts';
import { enabled, moveLimit, notDraining, notSource } from './standing.ts';

const fixedFilters: readonly FixedFilter[] = [
  enabled,
  notDraining,
  machine,
  cpuModel,
  firmware,
  labels,
  networks,
  pools,
];

const changingFilters: readonly ChangingFilter[] = [
  notSource,
  moveLimit,
  memory,
  vcpus,
  poolRoom,
  affinity,
  antiAffinity,
];

/** Places in `Fleet.hosts` of those that may take the VM, ascending. */
export function passingHosts(question: Question): number[] {
  const asked = changingFilters.filter(({ applies }) => applies(question));
  const passing: number[] = [];
  for (const at of eligibleFor(question)) {
    if (passesAll(asked, at, question)) passing.push(at);
  }
  return passing;
}

function passesAll(asked: readonly ChangingFilter[], at: number, question: Question): boolean {
  for (const filter of asked) if (!filter.passes(at, question)) return false;
  return true;
}

function eligibleFor(question: Question): readonly number[] {
  const { hosts, eligible } = question.fleet;
  const known = eligible.get(question.fixedKey);
  if (known !== undefined) return known;
  const found = hosts.flatMap((host, at) =>
    fixedFilters.every(({ passes }) => passes(host, question)) ? [at] : [],
  );
  if (eligible.size >= rememberedAsks) eligible.clear();
  eligible.set(question.fixedKey, found);
  return found;
}

export interface Refusal {
  filter: string;
  reason: string;
}

/** Every filter that refuses a host, with its reason; empty if the host may take the VM. Remembers nothing. */
export function refusalsOf(at: number, question: Question): Refusal[] {
  const host = question.fleet.hosts[at];
  if (host === undefined) return [];
  return [
    ...fixedFilters
      .filter(({ passes }) => !passes(host, question))
      .map(({ name, reason }) => ({ filter: name, reason: reason(host, question) })),
    ...changingFilters
      .filter(({ applies, passes }) => applies(question) && !passes(at, question))
      .map(({ name, reason }) => ({ filter: name, reason: reason(host, at, question) })),
  ];
}
