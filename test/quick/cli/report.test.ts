import { describe, expect, it } from 'vitest';
import { exitCodeOf, exitCodeOfFault } from '../../../cli/exit-code.ts';
import { faultLines, faultOf } from '../../../cli/fault.ts';
import { reportLines } from '../../../cli/render/report.ts';
import { cells } from '../../../cli/render/text.ts';
import { makeTheme } from '../../../cli/render/theme.ts';
import type { Fault } from '../../../domain/errors.ts';
import { unsafe } from '../../../domain/errors.ts';
import type { MoveReport, StepName } from '../../../domain/move.ts';
import { epochMs, playedStatus, reportWith, vm } from './fake-client.ts';

const view = { theme: makeTheme({ color: false, ascii: false }), width: 79, command: 'vmferry' };
const text = (report: MoveReport): string => reportLines(report, view, epochMs + 60_000).join('\n');
const end = '2026-03-04T10:01:00.000Z';

const fault: Fault = {
  code: 'target-disk-full',
  handling: 'permanent',
  message: 'pool images on beta has 3.20 GiB free, the disks of web-1 need 47.9 GiB',
  remedy: 'Free some room or name another pool with --pool.',
  host: 'beta',
};

const withSteps = (
  states: Partial<Record<StepName, 'done' | 'failed'>>,
  change: Partial<MoveReport>,
) => {
  const report = reportWith(change);
  for (const step of report.steps) step.state = states[step.name] ?? 'waiting';
  return report;
};

describe('the report of a move', () => {
  it('tells what happened and what to do next, while the source still has its copy', () => {
    const { report } = playedStatus(17_000);
    delete report.firstError;
    expect(text(report)).toBe(
      `✓ web-1 lives on beta; alpha keeps its copy until you commit

  VM           web-1  0f3c9a2e-4b6d-4a57-9a3e-5d1c2b7e8f90
  Way          alpha → beta, cold
  Asked by     ada@desk
  Started      2026-03-04 10:00:00 UTC, 1m 00s ago
  Lives on     beta, running
  Downtime     14.9 s
  Copied       47.9 GiB, of it twice 64.0 MiB
  One running  enforced: a live guard on both hosts

  Disk      Size    Copied     Twice  Verified, hash
  vda   20.0 GiB  6.20 GiB       0 B  ✓ 9f86d081884c7d65
  vdb    100 GiB  41.7 GiB  64.0 MiB  ✓ 9f86d081884c7d65

Steps
  Step            At (UTC)   Took  Retries  First error
  Check           10:00:00  0.8 s
  Reserve target  10:00:00  0.3 s
  Guard source    10:00:01  0.2 s
  Stop source     10:00:01  1.5 s
  Export          10:00:02  0.3 s
  Copy            10:00:03  9.0 s        1  the worker of beta stopped answeri…
  Verify          10:00:12  1.2 s
  Define          10:00:13  0.2 s
  Cut over        10:00:13  0.3 s
  Start           10:00:13  2.1 s

Findings
  ! alpha and beta have different CPU models
    Nothing to do for a cold move.

Next
  vmferry commit web-1
      remove the copy on alpha for good
  vmferry rollback web-1 --discard-target-writes
      go back to alpha; what it wrote on beta is lost`,
    );
  });

  it('says of a refused move that nothing was touched, with the error and its remedy', () => {
    const report = withSteps(
      { check: 'failed' },
      { phase: 'failed', fault, firstError: fault, endedAt: end, oneRunning: 'none' },
    );
    expect(text(report)).toBe(
      `✗ The move of web-1 was refused; nothing was touched

  VM           web-1  0f3c9a2e-4b6d-4a57-9a3e-5d1c2b7e8f90
  Way          alpha → beta, cold
  Asked by     ada@desk
  Started      2026-03-04 10:00:00 UTC, took 1m 00s
  Lives on     alpha, running

What went wrong
  error:  pool images on beta has 3.20 GiB free, the disks of web-1 need
          47.9 GiB
  host:   beta
  remedy: Free some room or name another pool with --pool.`,
    );
    expect(exitCodeOf(report)).toBe(3);
  });

  it('shows a parked move with what stands in the way, and undo steps that failed', () => {
    const shown = text(
      withSteps(
        { check: 'done' },
        {
          phase: 'parked',
          parkedIn: 'copying',
          fault,
          firstError: { ...fault, code: 'worker-lost', message: 'the worker of beta went away' },
          failedCompensations: [{ ...fault, message: 'clear beta: permission denied' }],
        },
      ),
    );
    expect(shown).toContain('! The move of web-1 is parked: a person must act');
    expect(shown).toContain('Parked in    copying');
    expect(shown).toMatch(/What stands in the way\n {2}error: {2}pool images/);
    expect(shown).toMatch(/First error on the way\n {2}error: {2}the worker of beta went away/);
    expect(shown).toMatch(/Could not be undone\n {2}error: {2}clear beta: permission denied/);
    expect(shown).toContain('vmferry retry web-1');
    expect(shown).toContain('vmferry cancel web-1');
  });

  it('offers no cancel once the cutover has begun', () => {
    const shown = text(reportWith({ phase: 'parked', parkedIn: 'starting', fault }));
    expect(shown).toContain('vmferry retry web-1');
    expect(shown).not.toContain('cancel');
  });

  it('names the UUID in commands where the name is no plain word', () => {
    const shown = text(
      reportWith({ phase: 'awaiting-commit', vm: { name: 'my vm; reboot', uuid: vm.uuid } }),
    );
    expect(shown).toContain(`vmferry commit ${vm.uuid}`);
  });

  it('does not call a disk verified whose sides differ or were not compared', () => {
    const disk = {
      name: 'vda',
      capacityBytes: 1,
      bytesCopied: 1,
      bytesRecopied: 0,
      verified: false,
    };
    expect(text(reportWith({ disks: [disk] }))).toContain('– not verified');
    const differing = { ...disk, sourceHash: 'aa', targetHash: 'bb' };
    expect(text(reportWith({ disks: [differing] }))).toContain('✗ the sides differ');
  });

  it('fits 80 columns', () => {
    const { report } = playedStatus(17_000);
    const long = `${'a long note of many words '.repeat(12)}end`;
    const lines = reportLines({ ...report, notes: [long], fault }, view, epochMs);
    expect(Math.max(...lines.map(cells))).toBeLessThanOrEqual(79);
    expect(lines.join('\n')).toContain('  · a long note');
  });
});

describe('exit codes', () => {
  it.each([
    ['committed', {}, {}, 0],
    ['awaiting-commit', {}, {}, 0],
    ['copying', {}, {}, 0],
    ['failed', { check: 'done', copy: 'failed' }, { fault }, 1],
    ['failed', { check: 'failed' }, { fault }, 3],
    ['rolled-back', { check: 'done', copy: 'done' }, {}, 5],
    ['rolled-back', { check: 'done', copy: 'failed' }, {}, 1],
    ['rolled-back', { check: 'done' }, { fault }, 1],
    ['cancelled', { check: 'done' }, {}, 5],
    ['parked', { check: 'done' }, { fault }, 4],
  ] as const)(
    'a move that is %s with steps %j and %j gives its code',
    (phase, steps, change, code) => {
      expect(exitCodeOf(withSteps(steps, { phase, ...change }))).toBe(code);
    },
  );

  it.each([
    ['temporal-unreachable', 'transient', 6],
    ['config-invalid', 'permanent', 2],
    ['payload-key-invalid', 'needs-operator', 2],
    ['vm-not-found', 'permanent', 3],
    ['order-refused', 'cancelled', 3],
    ['unexpected', 'needs-operator', 1],
  ] as const)('an error %s (%s) gives %d', (code, handling, exit) => {
    expect(exitCodeOfFault({ ...fault, code, handling })).toBe(exit);
  });
});

describe('errors', () => {
  it('keep code, host and remedy', () => {
    const error = unsafe({ code: 'c', message: 'm', remedy: 'r', host: 'h' });
    expect(faultOf(error)).toEqual({
      code: 'c',
      handling: 'unsafe',
      message: 'm',
      remedy: 'r',
      host: 'h',
    });
  });

  it('that nobody foresaw still say something', () => {
    expect(faultOf(new TypeError('x is not a function'))).toMatchObject({
      code: 'unexpected',
      message: 'x is not a function',
    });
    expect(faultOf('thrown text').message).toBe('thrown text');
  });

  it('print their label in front and long text below itself', () => {
    expect(faultLines({ ...fault, message: 'one\ntwo' }, { ...view, width: 40 })).toEqual([
      'error:  one',
      '        two',
      'host:   beta',
      'remedy: Free some room or name another',
      '        pool with --pool.',
    ]);
  });
});
