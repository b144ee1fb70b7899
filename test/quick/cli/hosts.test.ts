import { describe, expect, it, vi } from 'vitest';
import type { HostFerry } from '../../../cli/commands/hosts.ts';
import type { Ferry } from '../../../cli/ferry.ts';
import { permanent } from '../../../domain/errors.ts';
import { rememberedHost } from '../hosts/remembered.ts';
import { hostLine } from './fake-client.ts';
import { run as runWords } from './run.ts';
import type { RunOptions } from './run.ts';

const run = (line: string, options?: RunOptions) => runWords(line.split(' '), options);
const asFerry = (ferry: Partial<HostFerry>): Partial<Ferry> => ferry as Partial<Ferry>;

describe('vmferry hosts', () => {
  it('lists what is remembered, without asking the hosts', async () => {
    const hosts = vi.fn<Ferry['hosts']>(() =>
      Promise.resolve([rememberedHost('alpha'), hostLine('gamma', false)]),
    );
    const { out } = await run('hosts', { ferry: { hosts } });
    expect(hosts).toHaveBeenCalledWith({ facts: false });
    expect(out).toBe(
      [
        'Host   State    New VMs   VMs  Memory free   In  Out  Labels',
        'alpha  online   disabled    3     32.0 GiB  1/3  1/2  disk=nvme spare',
        'gamma  offline  enabled                     0/2  0/2',
        '',
      ].join('\n'),
    );
  });

  it('shows one host with its limits, its places, and what its worker has not taken over', async () => {
    const host = vi.fn(() => Promise.resolve(rememberedHost('alpha')));
    const { out } = await run('hosts show alpha', { ferry: asFerry({ host }) });
    expect(host).toHaveBeenCalledWith('alpha');
    expect(out).toMatch(/^New VMs +disabled$/m);
    expect(out).toMatch(/^Moves in +1 of 3$/m);
    expect(out).toMatch(
      /^Bandwidth up +954 MiB\/s, which its worker has not taken over: no worker took it up$/m,
    );
    expect(out).toMatch(/^Bandwidth down +no limit, as configured there$/m);
    expect(out).toMatch(/^Address +198.51.100.12 for live moves, else 198.51.100.11$/m);
    expect(out).toMatch(/^Changed +2026-03-04 10:00:00 UTC by ada@desk$/m);
    expect(out).toMatch(/^Groups +db \(2\)$/m);
    expect(out).toMatch(/^web +in +2026-03-04 10:00:00 UTC +migrate\/default\/1$/m);
    expect(out).toMatch(/^alpha +default +dir +active/m);
  });

  it('shows a host that has told nothing yet', async () => {
    const host = () => Promise.resolve({ name: 'new', online: false });
    const { code, out } = await run('hosts show new', { ferry: asFerry({ host }) });
    expect(code).toBe(0);
    expect(out).toMatch(/^Facts +none told yet$/m);
  });

  it.each([
    ['enable', { enabled: true }, 'alpha takes VMs.'],
    ['disable', { enabled: false }, 'alpha takes no new moves; those under way go on.'],
  ])('%s says so and is told in words', async (word, change, said) => {
    const state = rememberedHost('alpha').state!;
    const setHost = vi.fn(() => Promise.resolve(state));
    const { out } = await run(`hosts ${word} alpha`, { ferry: asFerry({ setHost }) });
    expect(setHost).toHaveBeenCalledWith('alpha', change);
    expect(out).toBe(`${said}\n`);
  });

  it('sets what is named and nothing else', async () => {
    const state = rememberedHost('alpha').state!;
    const setHost = vi.fn(() => Promise.resolve(state));
    const line =
      'hosts set alpha --label disk=nvme --label spare --remove-label old --moves-in 4 ' +
      '--bandwidth-up 1Gbit/s --bandwidth-down 0 --vcpu-ratio 1.5';
    await run(line, { ferry: asFerry({ setHost }) });
    expect(setHost).toHaveBeenCalledWith('alpha', {
      labels: { disk: 'nvme', spare: '' },
      withoutLabels: ['old'],
      limits: { movesIn: 4, upBytesPerSecond: 125e6, downBytesPerSecond: 0 },
      vcpuRatio: 1.5,
    });
    await runWords(['hosts', 'set', 'alpha', '--migration-address', ''], {
      ferry: asFerry({ setHost }),
    });
    expect(setHost).toHaveBeenLastCalledWith('alpha', { migrationAddress: '' });
  });

  it('refuses to set nothing, and what is no number', async () => {
    for (const flags of ['', ' --moves-in many', ' --vcpu-ratio -1', ' --bandwidth-up fast'])
      expect((await run(`hosts set alpha${flags}`)).code, flags).toBe(2);
  });

  it('says why a host was not changed', async () => {
    const refusal = { code: 'host-change-refused', message: 'm', remedy: 'r', host: 'alpha' };
    const setHost = () => Promise.reject(permanent(refusal));
    const { code, err } = await run('hosts disable alpha', { ferry: asFerry({ setHost }) });
    expect(code).toBe(3);
    expect(err).toMatch(/^error: +m$/m);
  });
});
