import { expect, it } from 'vitest';
import { newestKernel, probeAcceleration } from '../../../convert/acceleration.ts';
import { labelledProcesses } from '../../../convert/labelled-process.ts';

const kernel = await newestKernel();

it.skipIf(kernel === undefined)(
  'a kernel that comes through is told from one that does not, and nothing is left',
  { timeout: 120_000 },
  async () => {
    const id = `probe-${process.pid}`;
    expect(await probeAcceleration({ id, emulate: true })).toBe('kvm');
    // A file that is no kernel: QEMU ends at once.
    const notOne = import.meta.filename;
    expect(await probeAcceleration({ id, emulate: true, kernel: notOne })).toBe('tcg');
    expect(await labelledProcesses(id)).toEqual([]);
  },
);
