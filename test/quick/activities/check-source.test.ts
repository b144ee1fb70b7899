import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkSource } from '../../../activities/check-source.ts';
import { clockAhead } from '../../../activities/clock-ahead.ts';
import type { CheckSourceInput } from '../../../activities/contract.ts';
import type { Hypervisor } from '../../../activities/parts.ts';
import { defaultLiveWishes } from '../../../domain/live.ts';
import { beta, machine } from '../domain/facts.ts';
import { runningVm } from '../domain/rule-fixtures.ts';
import { hostParts } from './host-parts.ts';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vmferry-check-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

/** Checks a VM of which nothing can move anyway, so that nothing is offered. */
async function check(input: Partial<CheckSourceInput>) {
  const called: string[] = [];
  const hypervisor: Partial<Hypervisor> = {
    inspect: () => Promise.resolve(runningVm({ persistent: false })),
    facts: () => Promise.resolve(beta()),
    machine: () => Promise.resolve(machine()),
    probeGuard: () => Promise.resolve({ live: true, detail: '' }),
    probeTarget: (address) => {
      called.push(address);
      const detail = 'the daemon closed the connection';
      return Promise.resolve({ address, libvirtd: 'refused', detail, portsFiltered: false });
    },
  };
  const parts = hostParts({ name: 'alpha', stateDir, hypervisor });
  const { name, uuid } = runningVm();
  const ref = { moveId: 'm', migrationId: 'r', vm: { name, uuid } };
  const whole = { ...ref, target: 'beta', request: {}, ...input } as CheckSourceInput & {
    target: string;
  };
  const { concerns, machine: told } = await checkSource(parts, whole, new AbortController().signal);
  return { called, told, found: concerns.map(({ code }) => code) };
}

describe('the way to the target', () => {
  const live = { live: defaultLiveWishes } as CheckSourceInput['request'];
  it('is tried before a live move', async () => {
    const { called, found } = await check({ request: live, targetAddress: '198.51.100.12' });
    expect(called).toEqual(['198.51.100.12']);
    expect(found).toContain('live-credentials');
  });
  it.each([
    ['a cold move, which has its own', { targetAddress: '198.51.100.12' }],
    ['a live one whose target’s address nobody knows', { request: live }],
  ])('is not tried before %s', async (_what, input) => {
    const { called, found } = await check(input);
    expect(called).toEqual([]);
    expect(found).not.toContain('live-credentials');
  });
});

describe('the definition', () => {
  async function offered(request: Partial<CheckSourceInput['request']>) {
    const { name, uuid } = runningVm();
    const exported: string[] = [];
    const parts = hostParts({
      name: 'alpha',
      stateDir,
      hypervisor: {
        inspect: () => Promise.resolve(runningVm({ disks: [] })),
        facts: () => Promise.resolve({ ...beta(), vms: [] }),
        machine: () => Promise.resolve(machine()),
        probeGuard: () => Promise.resolve({ live: true, detail: '' }),
        definition: () => Promise.resolve('<domain/>'),
        writeNonces: () => Promise.resolve([]),
      },
      dataPlane: {
        ensureExport: ({ name: exportName }) => {
          exported.push(exportName);
          return Promise.resolve({ address: 'a', port: 1, exportName, serverName: 'alpha' });
        },
      },
    });
    const ref = { moveId: 'm', migrationId: randomUUID(), vm: { name, uuid }, target: 'beta' };
    const input = { ...ref, request } as CheckSourceInput & { target: string };
    const found = await checkSource(parts, input, new AbortController().signal);
    expect(found.concerns.filter(({ level }) => level === 'critical')).toEqual([]);
    expect(found.migrationAddress).toBe('127.0.0.1');
    return { exported, hash: found.definitionHash };
  }

  it.each<[string, CheckSourceInput['request']['live'] | undefined]>([
    ['cold', undefined],
    ['live, and cold if that fails', { ...defaultLiveWishes, fallback: 'cold' }],
  ])('is offered to the target of a move that goes %s', async (_, live) => {
    const { exported, hash } = await offered(live === undefined ? {} : { live });
    expect(exported).toEqual(['definition']);
    expect(hash).toHaveLength(64);
  });

  it('is not offered where libvirt alone brings it', async () => {
    expect(await offered({ live: defaultLiveWishes })).toEqual({ exported: [], hash: '' });
  });
});

it('tells the target what the guest feels of this host', async () => {
  expect((await check({})).told).toMatchObject({ kernel: machine().kernel });
});

it('measures a clock against the server that scheduled the attempt', async () => {
  const environment = new MockActivityEnvironment({
    currentAttemptScheduledTimestampMs: Date.now() - 60_000,
  });
  const seen: ReturnType<typeof clockAhead>[] = [];
  await environment.run(() => Promise.resolve(seen.push(clockAhead())));
  const clockAheadMs = seen[0]?.clockAheadMs;
  expect(clockAheadMs).toBeGreaterThanOrEqual(60_000);
  expect(clockAheadMs).toBeLessThan(90_000);
  expect(clockAhead()).toEqual({});
});
