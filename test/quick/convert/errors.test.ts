import { describe, expect, it } from 'vitest';
import {
  conversionFault,
  firstErrorOf,
  virtioInstalled,
  warningsOf,
} from '../../../convert/errors.ts';
import { driverWarning, failures } from './fixtures.ts';

const faultOf = (log: string) =>
  conversionFault({ vm: 'web', log, logPath: '/state/virt-v2v.log', status: 1 });

describe('a failed conversion', () => {
  it.each(failures)('names the cause of $name', ({ code, first, log }) => {
    expect(firstErrorOf(log).startsWith(first)).toBe(true);
    const fault = faultOf(log);
    expect(fault.code).toBe(code);
    expect(fault.message).toContain('web');
    expect(fault.message).toContain('/state/virt-v2v.log');
    expect(fault.message).toContain(first.split('\n')[0]);
    expect(fault.message).not.toContain('reporting bugs');
    expect(fault.remedy).toMatch(/^[A-Z].*\.$/);
  });

  it('counts the first error, not what came of it', () => {
    const log = `virt-v2v-in-place: error: virt-v2v is unable to convert this guest type (hurd/debian)
virt-v2v-in-place: error: insufficient free space in the conversion server temporary directory
`;
    expect(faultOf(log).code).toBe('guest-unsupported');
  });

  it('quotes no more than history may hold', () => {
    const fault = faultOf(`virt-v2v-in-place: error: ${'x'.repeat(100_000)}`);
    expect(fault.message.length).toBeLessThan(1000);
  });

  it('reads a log without end in bounded time', () => {
    const log = 'virt-v2v-in-place: '.repeat(200_000);
    const begin = performance.now();
    expect(faultOf(log).code).toBe('conversion-interrupted');
    expect(warningsOf(log)).toEqual([]);
    expect(performance.now() - begin).toBeLessThan(2000);
  });
});

describe('warnings of a conversion', () => {
  it('tell of missing drivers and how to have them', () => {
    const warnings = warningsOf(driverWarning);
    expect(warnings.map(({ code }) => code)).toEqual([
      'virtio-drivers-missing',
      'conversion-warning',
    ]);
    expect(warnings[0]?.message).toContain('slower emulated devices');
    expect(warnings[1]?.message).toBe(
      'fstrim on guest filesystem /dev/sda1 failed. Usually you can ignore this message.',
    );
  });

  it('stand beside what it says of virtio drivers', () => {
    expect(virtioInstalled(driverWarning)).toBe(false);
    expect(virtioInstalled('virt-v2v-in-place: This guest has virtio drivers installed.')).toBe(
      true,
    );
    expect(virtioInstalled('')).toBeUndefined();
  });
});
