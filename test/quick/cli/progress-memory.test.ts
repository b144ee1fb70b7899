import { describe, expect, it } from 'vitest';
import { ProgressMemory } from '../../../cli/progress-memory.ts';
import type { MoveStatus } from '../../../cli/ferry.ts';
import type { DiskProgress } from '../../../domain/move.ts';
import { statusWith } from './fake-client.ts';

const disk = (name: string, doneBytes: number, bytesPerSecond = 10): DiskProgress => ({
  name,
  capacityBytes: 200,
  totalBytes: 100,
  doneBytes,
  bytesPerSecond,
});

function during(
  step: 'copy' | 'verify',
  progress: DiskProgress[],
  copied: Record<string, number> = {},
): MoveStatus {
  const status = statusWith();
  status.report.steps.find(({ name }) => name === step)!.state = 'running';
  status.report.disks = ['vda', 'vdb'].map((name) => ({
    name,
    capacityBytes: 200,
    bytesCopied: copied[name] ?? 0,
    bytesRecopied: 0,
    verified: false,
  }));
  return { ...status, progress };
}

const shown = (status: MoveStatus): string[] =>
  status.progress.map(
    ({ name, doneBytes, bytesPerSecond }) => `${name} ${doneBytes} ${bytesPerSecond}/s`,
  );

describe('the memory of progress', () => {
  it('keeps a disk in view that ended, and one whose worker is away', () => {
    const memory = new ProgressMemory();
    expect(shown(memory.next(during('copy', [disk('vdb', 20), disk('vda', 90)])))).toEqual([
      'vda 90 10/s',
      'vdb 20 10/s',
    ]);
    expect(shown(memory.next(during('copy', [disk('vdb', 30)], { vda: 120 })))).toEqual([
      'vda 100 0/s',
      'vdb 30 10/s',
    ]);
    expect(shown(memory.next(during('copy', [], { vda: 120 })))).toEqual([
      'vda 100 0/s',
      'vdb 30 0/s',
    ]);
  });

  it('shows a disk once, as far as the slower of its copy and its hash is', () => {
    const memory = new ProgressMemory();
    expect(shown(memory.next(during('copy', [disk('vda', 90), disk('vda', 40)])))).toEqual([
      'vda 40 10/s',
    ]);
  });

  it('starts anew with the verification', () => {
    const memory = new ProgressMemory();
    memory.next(during('copy', [disk('vda', 90)]));
    expect(shown(memory.next(during('verify', [disk('vdb', 5)], { vda: 100, vdb: 100 })))).toEqual([
      'vdb 5 10/s',
    ]);
  });
});
