/** Conversion hosts as the client would tell them. */
import type { ConversionHostLine, Ferry } from '../../../cli/ferry.ts';
import { conversionHostConcerns } from '../../../domain/checks/foreign/concerns.ts';
import type { UsageOverTime } from '../../../domain/import/usage.ts';
import { conversionHost } from '../domain/foreign-facts.ts';

const gib = 1024 ** 3;
const at = '2026-03-04T10:00:00.000Z';
const inForce = { takesImports: true, upBytesPerSecond: 0, downBytesPerSecond: 125e6, parallel: 4 };

/** One that a person set, and that lacks memory. */
export function conversionHostLine(change: Partial<ConversionHostLine> = {}): ConversionHostLine {
  const facts = conversionHost({
    ...{ name: 'alpha', memoryBytes: 8 * gib, promisedBytes: 10 * gib, running: 2 },
    ...inForce,
  });
  return {
    ...{ name: 'alpha', online: true, enabled: true, facts },
    state: {
      role: { given: true, enabled: true, downBytesPerSecond: 125e6, parallel: 4 },
      inForce,
      deeds: [{ at, operator: 'ada@desk', what: 'down 125000000 B/s, parallel 4' }],
    },
    concerns: conversionHostConcerns(facts),
    ...change,
  };
}

/** A minute and a day later. */
export const usageOverTime = (): UsageOverTime => ({
  cacheDisk: '/var',
  samples: [0, 86_400].map((seconds) => ({
    at: Date.parse(at) / 1000 + seconds,
    cacheBytes: 6 * gib,
    disks: {
      '/': { usedBytes: 10 * gib, freeBytes: 10 * gib },
      '/var': { usedBytes: 75 * gib, freeBytes: 25 * gib },
    },
  })),
});

/** Nothing is imported there. */
export const conversionFerry = () =>
  ({
    conversionHosts: () => Promise.resolve([conversionHostLine()]),
    conversionHost: () => Promise.resolve(conversionHostLine()),
    setConversionHost: () => Promise.resolve(conversionHostLine()),
    importsOn: () => Promise.resolve([]),
    removeConversionHost: (host: string) => Promise.resolve({ host, cancelled: [], left: [] }),
    conversionUsage: () => Promise.resolve(usageOverTime()),
  }) satisfies Partial<Ferry>;
