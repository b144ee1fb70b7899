import { describe, expect, it } from 'vitest';
import { blocks } from '../../../domain/concerns.ts';
import { modeOf, MoveMode } from '../../../domain/checks/rule.ts';
import type { Side } from '../../../domain/checks/rule.ts';
import { allRules } from '../../../domain/checks/rules.ts';
import { sourceConcerns } from '../../../domain/checks/source.ts';
import { neededFiles, targetConcerns } from '../../../domain/checks/target.ts';
import type { SourceView, TargetView } from '../../../domain/checks/views.ts';
import { beta, disk, machine, vm } from './facts.ts';
import {
  live,
  onSource,
  onTarget,
  runningVm,
  sourceFixtures,
  targetFixtures,
} from './rule-fixtures.ts';

const rulesOf = (side: Side) => allRules.filter((rule) => rule.side === side);
const codesOf = (side: Side): string[] =>
  rulesOf(side).flatMap(({ outcomes }) => Object.keys(outcomes));
const ruleOf = (side: Side, code: string) =>
  rulesOf(side).find(({ outcomes }) => code in outcomes)!;
const codes = (concerns: { code: string }[]): string[] => concerns.map(({ code }) => code);
/** The same view in the other mode. */
const turned = <V extends SourceView | TargetView>(view: V): V => {
  const { live: asked, ...request } = view.request;
  return { ...view, request: asked === undefined ? { ...request, live } : request };
};

it('nothing speaks against a VM that runs, between two hosts that are alike', () => {
  expect(sourceConcerns(onSource())).toEqual([]);
  expect(targetConcerns(onTarget())).toEqual([]);
});

it('every outcome of every rule has a case', () => {
  expect(codesOf('source').sort()).toEqual(codes(sourceFixtures).sort());
  expect(codesOf('target').sort()).toEqual(codes(targetFixtures).sort());
});

describe('each rule speaks in its modes, with its level', () => {
  const all = [
    ...sourceFixtures.map(({ code, view, says }) => ({
      ...{ side: 'source' as const, code, says, mode: modeOf(view.request) },
      found: sourceConcerns(view),
      other: sourceConcerns(turned(view)),
    })),
    ...targetFixtures.map(({ code, view, says }) => ({
      ...{ side: 'target' as const, code, says, mode: modeOf(view.request) },
      found: targetConcerns(view),
      other: targetConcerns(turned(view)),
    })),
  ];
  it.each(all)('$side $code', ({ side, code, says, mode, found, other }) => {
    const { outcomes, modes } = ruleOf(side, code);
    const concern = found.find((one) => one.code === code);
    expect(modes).toContain(mode);
    expect(concern).toMatchObject({ level: outcomes[code]!.level });
    expect(concern?.message).toContain(says);
    expect(concern?.remedy).not.toBe('');
    if (modes.length === 1) expect(codes(other)).not.toContain(code);
  });
});

describe('a skip', () => {
  const skip = (what: 'cpu' | 'kernel') => ({
    targetPool: '',
    live,
    skip: [what],
    operator: 'ann',
  });
  const view = onTarget({
    cpu: { verdict: 'incompatible', detail: 'missing features: avx2' },
    machine: machine({ kernel: '6.12.1' }),
    missingFiles: ['/x'],
  });

  it('lowers what its rules find to information, and says who took it upon themselves', () => {
    const found = targetConcerns({ ...view, request: skip('cpu') });
    expect(found.find(({ code }) => code === 'cpu-incompatible')).toMatchObject({
      level: 'information',
      message: 'beta cannot offer the CPU that web has: missing features: avx2 (skipped by ann)',
    });
  });

  it('touches no other rule', () => {
    const levelOf = (request: TargetView['request'], code: string) =>
      targetConcerns({ ...view, request }).find((one) => one.code === code)?.level;
    expect(levelOf(skip('cpu'), 'host-file-missing')).toBe('critical');
    expect(levelOf(skip('cpu'), 'kernel-differs')).toBe('warning');
    expect(levelOf(skip('kernel'), 'kernel-differs')).toBe('information');
    expect(levelOf(skip('kernel'), 'cpu-incompatible')).toBe('critical');
  });

  it('is of exactly these rules', () => {
    const skippedBy = (word: string) =>
      allRules
        .filter(({ skip: by }) => by === word)
        .flatMap(({ outcomes }) => Object.keys(outcomes));
    expect(skippedBy('cpu')).toEqual([
      'cpu-incompatible',
      'cpu-not-compared',
      'cpu-not-startable',
      'cpu-vendor-differs',
      'cpu-not-64-bit',
      'nx-missing',
    ]);
    expect(skippedBy('kernel')).toEqual([
      'kernel-older',
      'kernel-differs',
      'microcode-older',
      'microcode-differs',
    ]);
  });

  it('unblocks a move that nothing else speaks against', () => {
    const cpu = { verdict: 'incompatible', detail: 'x' } as const;
    expect(blocks(targetConcerns(onTarget({ cpu })))).toBe(true);
    expect(blocks(targetConcerns(onTarget({ cpu, request: skip('cpu') })))).toBe(false);
  });
});

describe('kernels and microcode', () => {
  const kernelCode = (kernel: string): string[] =>
    codes(targetConcerns(onTarget({ machine: machine({ hostname: 'beta', kernel }) })));
  it.each([
    ['6.1.0-29-amd64', 'kernel-older'],
    ['5.14.0-427.13.1.el9', 'kernel-older'],
    ['6.1.0-30-cloud-amd64', 'kernel-differs'],
    ['6.1.0', 'kernel-differs'],
    ['6.1.0-100-amd64', 'kernel-differs'],
    ['7.0.0', 'kernel-differs'],
    ['unknown', 'kernel-differs'],
  ])('a target with %s, for a guest that runs on 6.1.0-30-amd64, is %s', (kernel, code) => {
    expect(kernelCode(kernel)).toEqual([code]);
  });

  it('of different CPUs are no older or newer ones', () => {
    const cpu = { ...machine().cpu!, signature: '25-1-2', microcode: '0x1' };
    const found = codes(targetConcerns(onTarget({ machine: machine({ hostname: 'beta', cpu }) })));
    expect(found).toEqual(['microcode-differs']);
  });
});

describe('what the hosts’ CPUs say does not count', () => {
  const other = machine({
    hostname: 'beta',
    cpu: { vendor: 'GenuineIntel', signature: '', microcode: '0x1', has64Bit: false, hasNx: false },
  });
  it('for a guest that is emulated', () => {
    const emulated = runningVm({ domainType: 'qemu' });
    const target = beta({ machines: ['qemu/x86_64/q35'] });
    expect(targetConcerns(onTarget({ vm: emulated, target, machine: other }))).toEqual([]);
  });
  it('where a host does not tell', () => {
    const { cpu: _, ...rest } = machine({ hostname: 'beta' });
    expect(targetConcerns(onTarget({ machine: rest }))).toEqual([]);
  });
  it('as to microcode, between two vendors', () => {
    const found = codes(targetConcerns(onTarget({ machine: other })));
    expect(found).toContain('cpu-vendor-differs');
    expect(found).not.toContain('microcode-differs');
  });
});

describe('near a limit', () => {
  it.each([
    [2020, []],
    [2021, ['clock-skew']],
    [-1980, []],
    [-1981, ['clock-skew']],
  ])('clocks that are %i ms and 20 ms ahead', (clockAheadMs, found) => {
    const view = onTarget({ machine: machine({ hostname: 'beta', clockAheadMs }) });
    expect(codes(targetConcerns(view))).toEqual(found);
  });
  it('a larger MTU at the target is fine, and one that nobody knows too', () => {
    const mtus = (bridges: Record<string, number>) => machine({ mtus: { bridges, networks: {} } });
    const found = (view: Partial<TargetView>) => codes(targetConcerns(onTarget(view)));
    expect(found({ machine: mtus({ br0: 9000 }) })).toEqual([]);
    expect(found({ sourceMachine: mtus({}) })).toEqual([]);
  });
  it('a bridge of two interfaces is told once', () => {
    const nics = ['01', '02'].map((end) => ({
      mac: `52:54:00:00:00:${end}`,
      kind: 'bridge' as const,
      sourceName: 'br0',
    }));
    const sourceMachine = machine({ mtus: { bridges: { br0: 9000 }, networks: {} } });
    const view = onTarget({ vm: runningVm({ nics }), sourceMachine });
    expect(codes(targetConcerns(view))).toEqual(['mtu-smaller']);
  });
});

it.each(['none', 'directsync'])('a shared disk with cache %s is of one mind', (cache) => {
  const seen = { vda: { kind: 'file' as const, path: '/images/web.raw' } };
  const view = onTarget({ seen, vm: runningVm({ disks: [disk({ cache })] }) });
  expect(targetConcerns(view)).toEqual([]);
});

it('a live move needs the files that the guest has open, each once', () => {
  const files = [
    { role: 'loader' as const, path: '/fw/a.fd' },
    { role: 'other' as const, path: '/isos/a.iso' },
  ];
  const facts = runningVm({
    disks: [disk(), disk({ name: 'sda', device: 'cdrom', path: '/isos/a.iso' })],
    running: { cpu: '', cpuTies: [], drift: [], jobs: [], files },
  });
  const paths = (request: { live?: typeof live }) =>
    neededFiles(facts, request).map(({ path }) => path);
  expect(paths({ live })).toEqual(['/fw/a.fd', '/isos/a.iso']);
  expect(paths({})).toEqual(['/isos/a.iso']);
});

it('hosts of older workers, who do not tell, are not spoken against', () => {
  const { machine: _, sourceMachine: __, cpu: ___, ...target } = onTarget();
  expect(targetConcerns(target)).toEqual([]);
  const { machine: ____, ...source } = onSource({ vm: vm({ state: 'running' }) });
  expect(sourceConcerns(source)).toEqual([]);
});

it('every rule has a mode, and every outcome a meaning and a remedy', () => {
  for (const { modes, outcomes } of allRules) {
    expect(modes.length).toBeGreaterThan(0);
    for (const each of Object.values(outcomes)) {
      expect(each.meaning).toMatch(/^[A-Zl].*\.$/);
      expect(each.remedy).not.toBe('');
    }
  }
  expect(Object.values(MoveMode)).toEqual(['cold', 'live']);
});
