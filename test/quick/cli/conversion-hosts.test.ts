/** `vmferry conversion-hosts`. */
import { describe, expect, it, vi } from 'vitest';
import type { ConversionHostLine, Ferry } from '../../../cli/ferry.ts';
import { outputs } from '../../../cli/output/catalogue.ts';
import type { OutputName } from '../../../cli/output/names.ts';
import { permanent } from '../../../domain/errors.ts';
import { terminalWith } from './fake-client.ts';
import { conversionHostLine, usageOverTime } from './fake-conversion-hosts.ts';
import { run as runWords } from './run.ts';
import type { RunOptions } from './run.ts';

const run = (line: string, options?: RunOptions) => runWords(line.split(' '), options);

const described = (name: OutputName, text: string): void =>
  expect(outputs[name].safeParse(JSON.parse(text)).error?.issues ?? []).toEqual([]);

const listed = async (line: ConversionHostLine): Promise<string> => {
  const conversionHosts = () => Promise.resolve([line]);
  return (await run('conversion-hosts', { ferry: { conversionHosts } })).out;
};

describe('vmferry conversion-hosts', () => {
  it('lists their room, their caps and how busy they are, as data too', async () => {
    const { code, out } = await run('conversion-hosts');
    expect(code).toBe(0);
    expect(out).toMatch(/^alpha +online +enabled +2\/4 +89.9 GiB +200 GiB +119 MiB\/s +no limit/m);
    described('conversion-hosts', (await run('conversion-hosts -o json')).out);
  });

  it('says why one takes no imports', async () => {
    const role = { given: true, enabled: true };
    const with_ = (change: object, rest: Partial<ConversionHostLine> = {}) =>
      listed(conversionHostLine({ state: { role: { ...role, ...change }, deeds: [] }, ...rest }));
    expect(await with_({ enabled: false })).toContain('disabled');
    expect(await with_({ given: false })).toContain('deleted');
    expect(await with_({}, { enabled: false })).toContain('disabled as a host');
    expect(await with_({}, { trouble: 'no answer' })).toContain('no answer');
  });

  it('says that a cap is set and does not hold yet', async () => {
    const state = { role: { given: true, enabled: true, upBytesPerSecond: 1e6 }, deeds: [] };
    expect(await listed(conversionHostLine({ state }))).toContain('977 KiB/s, not yet taken over');
  });

  it('shows one with what it lacks and who did what', async () => {
    const { out } = await run('conversion-hosts show alpha');
    expect(out).toMatch(/Available +89.9 GiB/);
    expect(out).toMatch(/Promised +10.0 GiB/);
    expect(out).toContain('8192 MiB of memory');
    expect(out).toContain('2026-03-04 10:00:00 UTC ada@desk: down 125000000 B/s, parallel 4');
    described('conversion-host', (await run('conversion-hosts show alpha -o json')).out);
  });

  it('shows how full its disks were, the one of the cache first', async () => {
    const conversionUsage = vi.fn<Ferry['conversionUsage']>(() => Promise.resolve(usageOverTime()));
    const { out } = await run('conversion-hosts show alpha --usage 7d', {
      ferry: { conversionUsage },
    });
    expect(conversionUsage).toHaveBeenCalledWith('alpha', '7d');
    expect(out).toMatch(/^From +Cached VMs +\/var +\/$/m);
    expect(out).toMatch(/10:00:00 UTC +6.00 GiB +75% \(25.0 GiB free\) +50%/);
    const { out: data } = await run('conversion-hosts show alpha --usage 1y -o json');
    described('conversion-usage', data);
    expect((await run('conversion-hosts show alpha --usage 2w')).code).toBe(2);
  });

  it.each([
    ['add alpha', { given: true, enabled: true }, 'alpha is a conversion host'],
    ['enable alpha', { enabled: true }, 'alpha takes imports'],
    ['disable alpha', { enabled: false }, 'those under way go on'],
    ['set alpha --cap-up 8kbit/s', { upBytesPerSecond: 1000 }, 'alpha is set'],
    [
      'set alpha --cap-down 0 --parallel 3',
      { downBytesPerSecond: 0, parallel: 3 },
      'no limit, 4 at a time',
    ],
  ])('%s', async (line, change, said) => {
    const setConversionHost = vi.fn(() => Promise.resolve(conversionHostLine()));
    const { code, out } = await run(`conversion-hosts ${line}`, { ferry: { setConversionHost } });
    expect(setConversionHost).toHaveBeenCalledWith('alpha', change);
    expect(out).toContain(said);
    expect(code).toBe(0);
    described('conversion-host', (await run(`conversion-hosts ${line} -o json`)).out);
  });

  it.each<[string, Partial<ConversionHostLine>, string]>([
    ['names no provider', { online: true }, 'The configuration of alpha names no provider'],
    ['is away', { online: false }, 'The worker of alpha is away'],
  ])('says of one that %s what becomes of its word', async (_, change, said) => {
    const { facts: _facts, ...line } = conversionHostLine({ concerns: [], ...change });
    const ferry = { setConversionHost: () => Promise.resolve(line) };
    const { out } = await run('conversion-hosts disable alpha', { ferry });
    expect(out).toContain(said);
    expect((await run('conversion-hosts disable alpha')).out).not.toContain(said);
    expect(await listed(line)).toContain(change.online === true ? 'no provider' : 'offline');
  });

  it('refuses to set nothing, and what is no number', async () => {
    for (const flags of ['', ' --parallel 0', ' --cap-up fast'])
      expect((await run(`conversion-hosts set alpha${flags}`)).code, flags).toBe(2);
  });
});

describe('vmferry conversion-hosts delete', () => {
  const busy = (change: Partial<Ferry> = {}) => {
    const removeConversionHost = vi.fn<Ferry['removeConversionHost']>((host) =>
      Promise.resolve({ host, cancelled: [{ id: 'import/default/vc/vm-1' }], left: [] }),
    );
    const importsOn = () => Promise.resolve([{ id: 'import/default/vc/vm-1' }]);
    return { removeConversionHost, ferry: { removeConversionHost, importsOn, ...change } };
  };

  it('asks nothing where nothing runs', async () => {
    const { code, out } = await run('conversion-hosts delete alpha');
    expect(code).toBe(0);
    expect(out).toContain('until it is added again');
    described('conversion-host-deleted', (await run('conversion-hosts delete a -o json')).out);
  });

  it('names what it ends before a yes', async () => {
    for (const [answer, times] of [
      ['y', 1],
      ['', 0],
    ] as const) {
      const { removeConversionHost, ferry } = busy();
      const terminal = terminalWith({ isTTY: true, ask: () => Promise.resolve(answer) });
      const { code, err } = await run('conversion-hosts delete alpha', { ferry, terminal });
      expect(err).toContain('import/default/vc/vm-1');
      expect(removeConversionHost).toHaveBeenCalledTimes(times);
      expect(code).toBe(answer === 'y' ? 0 : 5);
    }
  });

  it('does not wait for an answer that nobody can give', async () => {
    const { removeConversionHost, ferry } = busy();
    expect((await run('conversion-hosts delete alpha', { ferry })).code).toBe(2);
    expect(removeConversionHost).not.toHaveBeenCalled();
    const { out } = await run('conversion-hosts delete alpha --yes', { ferry });
    expect(out).toContain('Cancelled import/default/vc/vm-1.');
  });

  it('ends with 1 if an import could not be called off, and with 3 for a host that nobody knows', async () => {
    const left = [{ id: 'import/default/vc/vm-1', reason: 'it is past its cutover' }];
    const removeConversionHost = (host: string) => Promise.resolve({ host, cancelled: [], left });
    const one = busy({ removeConversionHost });
    const { code, out } = await run('conversion-hosts delete alpha --yes', { ferry: one.ferry });
    expect(code).toBe(1);
    expect(out).toContain('Left import/default/vc/vm-1: it is past its cutover.');
    const unknown = permanent({ code: 'host-unknown', message: 'm', remedy: 'r' });
    const nobody = busy({ conversionHost: () => Promise.reject(unknown) });
    expect((await run('conversion-hosts delete x --yes', { ferry: nobody.ferry })).code).toBe(3);
    expect(nobody.removeConversionHost).not.toHaveBeenCalled();
  });
});
