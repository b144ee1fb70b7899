import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ImportRequest } from '../../../domain/import.ts';
import { planImport } from '../../../domain/import/plan.ts';
import { expectedUse } from '../../../domain/import/use.ts';
import type { PlannedImport } from '../../../domain/import/use.ts';
import { beta, gibibyte, pool } from './facts.ts';
import { foreignNic, foreignVm, importRequest } from './foreign-facts.ts';

const mebibyte = 1024 ** 2;

describe('expected use', () => {
  const target = beta({ pools: [pool(), pool({ name: 'vg', type: 'logical', path: '/dev/vg' })] });
  const one = (
    id: string,
    request: Partial<ImportRequest> = {},
    vm: Parameters<typeof foreignVm>[0] = {},
  ): PlannedImport => {
    const asked = importRequest(request);
    const facts = foreignVm({ id, name: id, ...vm });
    const plan = planImport({ vm: facts, request: asked, target, newUuid: id });
    return { vm: facts, request: asked, plan };
  };
  const raw = { storage: { pool: 'vg', format: 'raw' } } as const;

  it('is summed host by host: now, and once all runs and is full', () => {
    const lines = expectedUse(
      [
        one('a', { autoStart: true }),
        one('b', raw),
        one('c', { running: 'leave', autoStart: true }, { kind: 'kvm', state: 'running' }),
        one('d', { to: 'elsewhere' }),
      ],
      [target, beta({ name: 'idle' })],
    );
    expect(lines).toEqual([
      { host: 'beta', what: 'cpus', of: '', wanted: 2, wantedMost: 6, available: 64, fits: true },
      {
        ...{ host: 'beta', what: 'memory', of: '', wanted: 2 * gibibyte, wantedMost: 6 * gibibyte },
        ...{ available: 4 * gibibyte, fits: true },
      },
      {
        ...{ host: 'beta', what: 'storage', of: 'default' },
        ...{ wanted: 4 * gibibyte, wantedMost: 20 * gibibyte },
        ...{ available: 50 * gibibyte - 64 * mebibyte, fits: true },
      },
      {
        ...{ host: 'beta', what: 'storage', of: 'vg' },
        ...{ wanted: 10 * gibibyte, wantedMost: 10 * gibibyte },
        ...{ available: 50 * gibibyte - 64 * mebibyte, fits: true },
      },
      { host: 'beta', what: 'addresses', of: 'bridge:br0', wanted: 1, wantedMost: 3 },
    ]);
  });

  it('does not fit where a sum is too large, or one VM alone', () => {
    const many = Array.from({ length: 26 }, (_, index) => one(`v${index}`, { autoStart: true }));
    const fits = (lines: ReturnType<typeof expectedUse>) =>
      lines.map(({ what, fits: each }) => [what, each]);
    expect(fits(expectedUse(many, [target]))).toEqual([
      ['cpus', true],
      ['memory', false],
      ['storage', false],
      ['addresses', undefined],
    ]);
    const wide = one('w', { shape: { cpus: 5, memoryBytes: 9 * gibibyte } });
    expect(fits(expectedUse([wide], [target])).slice(0, 2)).toEqual([
      ['cpus', false],
      ['memory', false],
    ]);
  });

  it('of two cards is two addresses, and of a VM that ran one that starts', () => {
    const nics = [foreignNic(), foreignNic({ key: 'b', mac: '' })];
    const lines = expectedUse([one('a', {}, { kind: 'kvm', state: 'running', nics })], [target]);
    expect(lines.at(-1)).toMatchObject({ what: 'addresses', wanted: 2, wantedMost: 2 });
    expect(lines[1]).toMatchObject({ what: 'memory', wanted: 2 * gibibyte });
  });

  it('of many is the sum of each', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }), (starts) => {
        const all = starts.map((autoStart, index) => one(`v${index}`, { autoStart }));
        const sums = new Map<string, number>();
        for (const each of all) {
          for (const { what, of, wanted } of expectedUse([each], [target])) {
            sums.set(`${what} ${of}`, (sums.get(`${what} ${of}`) ?? 0) + wanted);
          }
        }
        for (const { what, of, wanted } of expectedUse(all, [target])) {
          expect(wanted).toBe(sums.get(`${what} ${of}`));
        }
      }),
      { numRuns: 30 },
    );
  });
});
