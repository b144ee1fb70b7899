/** What a person may change of a host, and what is refused. */
import type { HostLimits, HostSettings } from './state.ts';

/** What is absent stays as it is. */
export interface HostChange {
  enabled?: boolean;
  draining?: boolean;
  /** Put to the others; the same key gets the new value. */
  labels?: Readonly<Record<string, string>>;
  /** Keys to be taken away; one that is not there does not matter. */
  withoutLabels?: readonly string[];
  limits?: Partial<HostLimits>;
  /** Empty: as the host's own configuration says. */
  migrationAddress?: string;
  vcpuRatio?: number;
}

/** A change with the person behind it. */
export interface HostOrder extends HostChange {
  operator: string;
}

/** Keys and values of labels: what needs no quoting anywhere. */
const labelForm = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/;
/** A name or an address, as certificates bear them. */
const addressForm = /^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/;
const mostLabels = 32;
const mostMoves = 32;
const mostVcpusEach = 1000;

/** The settings after a change. */
export function withChange(settings: HostSettings, change: HostChange): HostSettings {
  const gone = new Set(change.withoutLabels);
  const kept = Object.entries(settings.labels).filter(([key]) => !gone.has(key));
  const address = change.migrationAddress ?? settings.migrationAddress ?? '';
  return {
    enabled: change.enabled ?? settings.enabled,
    draining: change.draining ?? settings.draining,
    labels: { ...Object.fromEntries(kept), ...change.labels },
    limits: { ...settings.limits, ...change.limits },
    vcpuRatio: change.vcpuRatio ?? settings.vcpuRatio,
    ...(address === '' ? {} : { migrationAddress: address }),
  };
}

/** Why a change is refused, one sentence a reason without its full stop; empty if it is not. */
export function refusedBecause(settings: HostSettings, change: HostChange): string[] {
  const { labels = {}, limits = {}, migrationAddress = '', vcpuRatio } = change;
  const reasons = Object.entries(labels).flatMap(([key, value]) => labelReasons(key, value));
  if (Object.keys(withChange(settings, change).labels).length > mostLabels)
    reasons.push(`a host may have ${mostLabels} labels at most`);
  for (const [name, moves] of [
    ['moves in', limits.movesIn],
    ['moves out', limits.movesOut],
  ] as const) {
    if (moves !== undefined && !isWithin(moves, { least: 0, most: mostMoves, whole: true }))
      reasons.push(`the limit of ${name} has to be a whole number from 0 to ${mostMoves}`);
  }
  for (const rate of [limits.upBytesPerSecond, limits.downBytesPerSecond]) {
    if (
      rate !== undefined &&
      !isWithin(rate, { least: 0, most: Number.MAX_SAFE_INTEGER, whole: true })
    )
      reasons.push('a bandwidth has to be a whole number of bytes a second, or 0 for none');
  }
  if (migrationAddress !== '' && !addressForm.test(migrationAddress))
    reasons.push('the migration address has to be an IP address or a host name');
  if (vcpuRatio !== undefined && !isWithin(vcpuRatio, { least: 0.1, most: mostVcpusEach }))
    reasons.push(`the ratio of vCPUs to CPUs has to lie between 0.1 and ${mostVcpusEach}`);
  return reasons;
}

function labelReasons(key: string, value: string): string[] {
  const form = 'of 1 to 63 of A-Z a-z 0-9 . _ / -';
  return [
    ...(labelForm.test(key) ? [] : [`the label ${JSON.stringify(key)} has to be ${form}`]),
    ...(value === '' || labelForm.test(value)
      ? []
      : [`the value of label ${JSON.stringify(key)} has to be empty or ${form}`]),
  ];
}

const isWithin = (
  value: number,
  { least, most, whole = false }: { least: number; most: number; whole?: boolean },
): boolean => value >= least && value <= most && (!whole || Number.isInteger(value));
