/** `vmferry providers`, `inspect`, `vms --provider`, `v2v`, and the orders to imports. */
import { describe, expect, it } from 'vitest';
import { ImportMemory } from '../../../cli/import-memory.ts';
import { outputs } from '../../../cli/output/catalogue.ts';
import type { OutputName } from '../../../cli/output/names.ts';
import { exitCodeOfAll, exitCodeOfImport, importWord } from '../../../cli/render/import-words.ts';
import { importFrame } from '../../../cli/render/import.ts';
import { makeTheme } from '../../../cli/render/theme.ts';
import { cells } from '../../../cli/render/text.ts';
import type { FerryV2vStart, V2vForecast, V2vRequest } from '../../../cli/ferry.ts';
import { transient } from '../../../domain/errors.ts';
import type { RehearsalReport } from '../../../domain/import/rehearsal.ts';
import type { ImportPhase, ImportReport, ImportStatus } from '../../../domain/import.ts';
import { terminalWith } from './fake-client.ts';
import {
  convertingStatus,
  copyingStatus,
  failedStatus,
  FakeImport,
  forbidden,
  forecastWith,
  importId,
  importReportWith,
  providerList,
  unpackingStatus,
  waitingStatus,
} from './fake-import.ts';
import { run } from './run.ts';

const v2v = ['v2v', '--provider', 'vcenter', 'web', '--pool', 'images'];

const described = (name: OutputName, text: string): void =>
  expect(outputs[name].safeParse(JSON.parse(text)).error?.issues ?? []).toEqual([]);

/** What `v2v` asked the client for. */
const asked = async (...args: string[]): Promise<readonly V2vRequest[]> => {
  let seen: readonly V2vRequest[] = [];
  const forecastV2v = (requests: readonly V2vRequest[]) => {
    seen = requests;
    return Promise.resolve(forecastWith());
  };
  await run(['v2v', '--provider', 'vcenter', ...args, '--dry-run'], { ferry: { forecastV2v } });
  return seen;
};

const begun = (...imports: FakeImport[]) => ({
  v2v: (): Promise<FerryV2vStart[]> =>
    Promise.resolve(
      imports.map((one, index) => ({
        id: `${importId}${index}`,
        vm: { id: `vm-${index}`, name: `web-${index}` },
        import: one,
      })),
    ),
});

describe('vmferry providers', () => {
  it('lists them with their hosts, as data too', async () => {
    const { code, out } = await run(['providers']);
    expect(code).toBe(0);
    expect(out).toMatch(/vcenter\s+vsphere\s+vc\.example\s+alpha\s+. reachable/);
    described('providers', (await run(['providers', '-o', 'json'])).out);
  });

  it('ends with 1 where one is not reached or a host is silent, and says why', async () => {
    const [line] = providerList().providers;
    const providers = () =>
      Promise.resolve({
        providers: [{ ...line!, reachable: false, trouble: 'the password was refused' }],
        unreachable: [{ host: 'beta', reason: 'no answer' }],
      });
    const { code, out, err } = await run(['providers'], { ferry: { providers } });
    expect(code).toBe(1);
    expect(out).toContain('the password was refused');
    expect(err).toContain('no answer from beta');
  });

  it('says what to do where there is none', async () => {
    const providers = () => Promise.resolve({ providers: [], unreachable: [] });
    expect((await run(['providers'], { ferry: { providers } })).out).toContain('host.providers');
  });
});

describe('vmferry vms --provider', () => {
  it('lists the VMs of a platform, as data too', async () => {
    const { out } = await run(['vms', '--provider', 'vcenter']);
    expect(out).toContain('web-2');
    described('foreign-vms', (await run(['vms', '--provider', 'vcenter', '-o', 'json'])).out);
  });

  it.each([
    ['--on alpha', '--on names who asks a provider'],
    ['--provider vcenter --host alpha', 'exclude each other'],
  ])('refuses %s', async (args, words) => {
    const { code, err } = await run(['vms', ...args.split(' ')]);
    expect(code).toBe(2);
    expect(err).toContain(words);
  });
});

describe('vmferry inspect', () => {
  it('shows facts, disks, cards with their addresses, and findings', async () => {
    const { code, out } = await run(['inspect', '--provider', 'vcenter', 'web']);
    expect(code).toBe(0);
    for (const word of [
      'UEFI, Secure Boot',
      '[ds1] web/web.vmdk',
      'boot, independent',
      'VM Network',
      '192.0.2.7/24 static',
      'not connected',
      'PCI passthrough',
      'which does not come along',
    ])
      expect(out).toContain(word);
    const { out: data } = await run(['inspect', '--provider', 'vcenter', 'web', '-o', 'json']);
    described('foreign-vm', data);
  });
});

describe('vmferry v2v asks', () => {
  it('for what nobody said by the defaults', async () => {
    const [request] = await asked('web');
    expect(request).toMatchObject({
      ...{ provider: 'vcenter', vm: 'web', running: 'shutdown', convert: 'yes', verify: 'full' },
      ...{ restartSource: true, autoStart: false, autoCommit: false, shape: {}, storage: {} },
    });
    // The conversion host says how long it keeps a copy, and the fleet who converts.
    for (const absent of ['cacheSeconds', 'compressCache', 'on', 'to'])
      expect(request).not.toHaveProperty(absent);
  });

  it.each<[string[], Partial<V2vRequest>]>([
    [
      ['--map-network', 'VM Network=bridge:br0', '--map-network', 'a=b=default'],
      { networks: { 'VM Network': 'bridge:br0', 'a=b': 'default' } },
    ],
    [
      ['--map-storage', 'ds1=fast', '--pool', 'images', '--format', 'raw'],
      { storageMap: { ds1: 'fast' }, storage: { pool: 'images', format: 'raw' } },
    ],
    [
      ['--name', 'w', '--cpus', '4', '--memory', '8GiB', '--disks', '2000,2001', '--new-macs'],
      {
        shape: { name: 'w', cpus: 4, memoryBytes: 2 ** 33, disks: ['2000', '2001'], newMacs: true },
      },
    ],
    [
      ['--no-tpm', '--secure-boot', '--bus', 'virtio-blk', '--emulate'],
      { shape: { tpm: false, secureBoot: true, bus: 'virtio-blk', domainType: 'qemu' } },
    ],
    [['--running', 'leave', '--no-convert'], { running: 'leave', convert: 'no' }],
    [
      ['--no-restart-source', '--shutdown-timeout', '1m'],
      { restartSource: false, shutdownTimeoutMs: 60_000 },
    ],
    [
      ['--keep-cache', '2h', '--compress-cache', '--bandwidth', '1MiB/s'],
      { cacheSeconds: 7200, compressCache: true, bandwidthBytesPerSecond: 2 ** 20 },
    ],
    [
      ['--luks-key', '/dev/sda2=web', '--root', 'first'],
      { luksKeys: [{ device: '/dev/sda2', reference: 'web' }], root: 'first' },
    ],
    [
      ['--on', 'gamma', '--to', 'beta', '--auto-start', '--auto-commit'],
      { on: 'gamma', to: 'beta', autoStart: true, autoCommit: true },
    ],
  ])('for %j', async (args, wanted) => {
    expect((await asked('web', ...args))[0]).toMatchObject(wanted);
  });

  it('for each VM by itself', async () => {
    expect((await asked('web', 'db')).map(({ vm }) => vm)).toEqual(['web', 'db']);
  });

  it('with a shape for each where one is said of it alone, else with what is said of all', async () => {
    const shapes = await asked(
      ...['web', 'a=b', 'db', '--cpus', '2', '--cpus', 'a=b=8', '--memory', 'db=4GiB'],
      ...['--name', 'web=w', '--name', 'a=b=ab', '--disks', 'web=2000,2001'],
      ...['--nics', 'db=4001,4000@52:54:00:aa:bb:cc', '--os', 'linux', '--os', 'web=windows'],
      ...['--volumes', 'web=2000@web-root,2001@web-data'],
    );
    expect(shapes.map(({ shape }) => shape)).toEqual([
      {
        ...{ name: 'w', cpus: 2, disks: ['2000', '2001'], system: 'windows' },
        volumes: [
          { key: '2000', name: 'web-root' },
          { key: '2001', name: 'web-data' },
        ],
      },
      { name: 'ab', cpus: 8, system: 'linux' },
      {
        ...{ cpus: 2, memoryBytes: 2 ** 32, system: 'linux' },
        nics: [{ key: '4001' }, { key: '4000', mac: '52:54:00:aa:bb:cc' }],
      },
    ]);
  });

  it('with addresses of one’s own for its guest, by card', async () => {
    const [web, db] = await asked(
      ...['web', 'db', '--addresses', 'web=4000@198.51.100.30/24,4000@2001:db8::30/64'],
      ...['--addresses', 'db=4000@198.51.100.31/24,4001@203.0.113.7/25'],
      ...['--gateways', 'db=4001@203.0.113.1', '--dns', 'db=4000@198.51.100.53'],
    );
    expect(web?.shape?.addresses).toEqual([
      { key: '4000', addresses: ['198.51.100.30/24', '2001:db8::30/64'] },
    ]);
    expect(db?.shape?.addresses).toEqual([
      { key: '4000', addresses: ['198.51.100.31/24'], dns: ['198.51.100.53'] },
      { key: '4001', addresses: ['203.0.113.7/25'], gateways: ['203.0.113.1'] },
    ]);
  });

  it.each([
    [['web', 'db', '--cpus', '2', '--cpus', '4'], '--cpus is given twice for all VMs'],
    [['web', 'db', '--name', 'db=a', '--name', 'db=b'], '--name is given twice for db'],
    [['web', 'db', '--memory', 'dp=4GiB'], '--memory is for dp, which is not among the VMs'],
    [['web', '--cpus', 'web=few'], "argument 'web=few' is invalid"],
    [['web', '--map-network', 'x'], 'SOURCE=TARGET'],
    [['web', '--map-network', 'x=a', '--map-network', 'x=b'], 'mapped before'],
    [['web', 'db', '--name', 'w'], '--name is for one VM'],
    [['web', 'db', '--disks', '2000'], '--disks is for one VM'],
    [['web', 'db', '--nics', '4000'], '--nics is for one VM'],
    [['web', 'db', '--addresses', '4000@198.51.100.30/24'], '--addresses is for one VM'],
    [['web', '--addresses', '198.51.100.30/24'], 'KEY@198.51.100.30/24'],
    [['web', '--volumes', 'root'], 'Say for which disk, as KEY@root'],
    [['web', '--os', 'web=beos'], 'Allowed choices are linux, windows, other'],
    [['web', 'web', '--yes'], 'named twice'],
    [['web', '--dry-run', '--yes'], 'begins nothing'],
    [['web', '--running', 'kill'], 'Allowed choices'],
    [['web', '--memory', 'much'], 'is not a size'],
    [['web', '--luks-key', 'secret', '--yes'], 'never the key itself'],
    [['web', '--check', 'agent', '--yes'], '--check is for a rehearsal'],
    [['web', '--rehearse', '--check', 'port:22'], 'Expected agent'],
    [['web', '--rehearse', '--check', 'console:('], 'no regular expression'],
    [['web', '--luks-key', 'secret'], 'never the key itself'],
    [['web', '--map-network', 'x=bridge:', '--yes'], 'Say which: bridge:NAME'],
    [['web', '--default-network', 'network:', '--yes'], 'network: names no network'],
    [['web', '--memory', '8', '--yes'], 'name the unit'],
    [['web', '--no-convert', '--root', 'first', '--yes'], '--root is for a conversion'],
    [['web', '--no-convert', '--luks-key', 'all=k', '--yes'], '--luks-key is for a conversion'],
    [['web'], 'nobody is there to say yes'],
    [[], 'missing required argument'],
  ])('nothing where %j is wrong', async (args, words) => {
    const { code, err } = await run(['v2v', '--provider', 'vcenter', ...args]);
    expect(code).toBe(2);
    expect(err).toContain(words);
  });
});

describe('a rehearsal is asked for', () => {
  it.each([
    [[], { kind: 'auto' }],
    [['--check', 'agent'], { kind: 'agent' }],
    [['--check', 'console:^login: *$'], { kind: 'console', pattern: '^login: *$' }],
    [['--check', 'port:198.51.100.20:22'], { kind: 'port', address: '198.51.100.20', port: 22 }],
    [['--check', 'command:web'], { kind: 'command', name: 'web' }],
  ])('within an import by %j', async (args, check) => {
    const [request] = await asked('web', '--rehearse', ...args);
    expect(request).toMatchObject({ running: 'shutdown', rehearse: { check, only: false } });
    expect((await asked('web'))[0]).not.toHaveProperty('rehearse');
  });

  it('alone, with the source left as it is and nothing to be said yes to by a script', async () => {
    let seen: readonly V2vRequest[] = [];
    const forecastV2v = (requests: readonly V2vRequest[]) => {
      seen = requests;
      return Promise.resolve(forecastWith());
    };
    const args = ['rehearse', '--provider', 'vcenter', 'web', '--pool', 'images'];
    const more = ['--check-timeout', '90s', '--dry-run'];
    const { code } = await run([...args, ...more], { ferry: { forecastV2v } });
    expect(code).toBe(0);
    expect(seen).toMatchObject([
      { running: 'leave', rehearse: { check: { kind: 'auto' }, limitMs: 90_000, only: true } },
    ]);
    const refused = await run([...args, '--running', 'force-off']);
    expect(refused.code).toBe(2);
  });

  it('and its report tells what was seen, as data too', async () => {
    const rehearsal: RehearsalReport = {
      outcome: 'proved',
      check: 'agent',
      saw: 'its guest agent answers',
      elapsedMs: 21_000,
      emulated: true,
      console: ['web login:'],
    };
    const report = importReportWith({ phase: 'rehearsed', rehearsal });
    const one = new FakeImport({ report, progress: [] });
    const args = ['rehearse', '--provider', 'vcenter', 'web', '--pool', 'images', '--yes'];
    const { code, out } = await run(args, { ferry: begun(one) });
    expect(code).toBe(0);
    expect(out).toContain('It came up: its guest agent answers (after 21.0 s, by emulation).');
    expect(out).toContain('console: web login:');
    const again = new FakeImport({ report, progress: [] });
    described('v2v', (await run([...args, '-o', 'json'], { ferry: begun(again) })).out);
  });
});

describe('vmferry v2v', () => {
  it('shows the expected use against what is there, and touches nothing in a dry run', async () => {
    const { code, out } = await run([...v2v, '--dry-run']);
    expect(code).toBe(0);
    expect(out).toMatch(/CPUs\s+2\s+2\s+40/);
    expect(out).toMatch(/storage images\s+6\.00 GiB\s+20\.0 GiB\s+4\.00 GiB\s+. too little/);
    expect(out).toMatch(/addresses network:default\s+1\s+1\s+not known/);
    expect(out).toContain('disk 2000 (20.0 GiB) becomes sda: web-0.qcow2 (qcow2) in images');
    expect(out).toContain(
      'card 00:50:56:01:02:03 goes from VM Network to network:default, with 198.51.100.30/24; gateway 198.51.100.1',
    );
    expect(out).toContain('nothing was touched');
    described('v2v-plan', (await run([...v2v, '--dry-run', '-o', 'json'])).out);
  });

  it('is refused by a finding before anything begins', async () => {
    const ferry = {
      forecastV2v: () => Promise.resolve(forbidden()),
      v2v: () => Promise.reject(new Error('it began')),
    };
    const { code, err, out } = await run([...v2v, '--yes'], { ferry });
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toContain('mapped to nothing');
    expect(err).toContain('Refused: web cannot come as asked');
    described('v2v-plan', (await run([...v2v, '--yes', '-o', 'json'], { ferry })).out);
  });

  it.each([
    ['y', 0],
    ['Yes ', 0],
    ['', 5],
    ['n', 5],
    ['yesterday', 5],
  ])('asks a person, and takes %j so that it ends with %i', async (answer, wanted) => {
    const questions: string[] = [];
    const ask = (question: string) => {
      questions.push(question);
      return Promise.resolve(answer);
    };
    const started: V2vForecast[] = [];
    const begin = (forecast: unknown) => {
      started.push(forecast as V2vForecast);
      return begun(new FakeImport()).v2v();
    };
    const terminal = terminalWith({ ask });
    const { code } = await run(v2v, { terminal, ferry: { v2v: begin } });
    expect({ code, questions, begun: started.length }).toEqual({
      ...{ code: wanted, questions: ['Bring this VM? [y/N] '] },
      begun: wanted === 0 ? 1 : 0,
    });
  });

  it('tells each change of one import, then how it rests and what to do next', async () => {
    const ferry = begun(new FakeImport(copyingStatus(0.425), convertingStatus(), waitingStatus()));
    const { code, out } = await run([...v2v, '--yes'], { ferry });
    expect(code).toBe(0);
    expect(out).toContain('web-0 copying 42 %, 35 s left');
    expect(out).toContain('web-0 converting 31 %: Inspecting the source');
    expect(out).toContain('web is on beta; alpha keeps what was copied until you commit');
    expect(out).toContain('from the cache 1.00 GiB');
    expect(out).toContain('observed: the source was read back as off');
    expect(out).toContain('vmferry commit web');
    expect(out).toContain('vmferry rollback web --discard-target-writes');
  });

  it('tells how far the unpacking of a compressed cache is', async () => {
    const line = await run([...v2v, '--yes'], {
      ferry: begun(new FakeImport(unpackingStatus(), waitingStatus())),
    });
    expect(line.out).toContain('web-0 copying 61 %: Unpacking 2000, which was kept compressed');
    const theme = makeTheme({ color: false, ascii: false });
    const wide = { width: 100, command: 'vmferry', theme };
    const out = importFrame(unpackingStatus(), wide, { now: 0, tick: 0 }).join('\n');
    expect(out).toMatch(/Unpacking 2000, which was kept compressed\n.*61 %/);
  });

  it('has a line for each of several, and ends as the gravest of them', async () => {
    const ferry = begun(
      new FakeImport(waitingStatus()),
      new FakeImport(copyingStatus(), failedStatus()),
    );
    const { code, out } = await run([...v2v, 'db', '--yes'], { ferry });
    expect(code).toBe(1);
    expect(out).toMatch(/web-0\s+awaiting commit/);
    expect(out).toMatch(/web-1\s+failed\s+1m 02s\s+the Windows of web sleeps/);
    const { out: data } = await run([...v2v, 'db', '--yes', '-o', 'json'], {
      ferry: begun(new FakeImport(waitingStatus()), new FakeImport(failedStatus())),
    });
    described('v2v', data);
  });

  it('says of one that cannot begin why, and follows the others', async () => {
    const fault = transient({ code: 'c', message: 'already being imported', remedy: 'Wait.' });
    const ferry = {
      v2v: async (): Promise<FerryV2vStart[]> => [
        ...(await begun(new FakeImport(waitingStatus())).v2v()),
        { id: importId, vm: { id: 'vm-9', name: 'db' }, fault: fault.toFault() },
      ],
    };
    const { code, out } = await run([...v2v, 'db', '--yes'], { ferry });
    expect(code).toBe(1);
    expect(out).toMatch(/db\s+not begun\s+already being imported/);
    const detached = await run([...v2v, 'db', '--yes', '--detach'], { ferry });
    expect(detached).toMatchObject({ code: 1 });
    expect(detached.out).toContain(`Started ${importId}0`);
    expect(detached.out).toContain('Not begun: db: already being imported');
    described('v2v', (await run([...v2v, 'db', '--yes', '--detach', '-o', 'json'], { ferry })).out);
  });

  it.each([1, 30])('draws %i of them no larger than the screen', async (imports) => {
    const one = () => new FakeImport(copyingStatus(), copyingStatus(0.7), waitingStatus());
    const terminal = terminalWith({ isTTY: true, columns: 80, rows: 20 });
    const ferry = begun(...Array.from({ length: imports }, one));
    const { code, out } = await run([...v2v, '--yes'], { ferry, terminal });
    expect(code).toBe(0);
    expect(out).toContain(imports === 1 ? 'Copy' : 'and 15 more');
    const escape = String.fromCharCode(27);
    const plain = out.replaceAll(new RegExp(`${escape}\\[[?0-9;]*[a-zA-Z]`, 'gu'), '');
    expect(plain.split('\n').filter((line) => cells(line.replaceAll('\r', '')) > 80)).toEqual([]);
  });

  it('goes on without a person who leaves', async () => {
    const terminal = terminalWith();
    const one = new FakeImport(copyingStatus());
    const ferry = begun(one);
    const running = run([...v2v, '--yes'], { ferry, terminal });
    const timer = setInterval(() => terminal.interrupt(), 5);
    const { code, err } = await running.finally(() => clearInterval(timer));
    expect(code).toBe(130);
    expect(err).toContain('The import goes on without this window');
    expect(one.orders).toEqual([]);
  });
});

describe('an import', () => {
  const work = (one: FakeImport) => ({ work: () => Promise.resolve(one) });

  it.each(['commit', 'cancel', 'retry', 'discard'])('takes %s by its name', async (order) => {
    const one = new FakeImport(copyingStatus(), waitingStatus());
    const { code } = await run([order, 'web'], { ferry: work(one) });
    expect({ code, orders: one.orders }).toEqual({ code: 0, orders: [order] });
  });

  it('is rolled back with the word that its writes are lost', async () => {
    const one = new FakeImport(waitingStatus(), {
      ...waitingStatus(),
      report: { ...waitingStatus().report, phase: 'rolled-back' },
    });
    const { code, out } = await run(['rollback', 'web', '--discard-target-writes'], {
      ferry: work(one),
    });
    expect({ code, orders: one.orders }).toEqual({ code: 0, orders: ['rollback true'] });
    expect(out).toContain('was rolled back');
  });

  it('is not taken for done by the report from before the order', async () => {
    const one = new FakeImport(failedStatus(), failedStatus(), copyingStatus(), waitingStatus());
    const { code, out } = await run(['retry', 'web'], { ferry: work(one) });
    expect(code).toBe(0);
    expect(out).toContain('web is on beta');
  });

  it('is shown with its steps, as data too, and explained from its history', async () => {
    const ferry = () => ({ ferry: work(new FakeImport(failedStatus())) });
    const { code, out } = await run(['status', 'web'], ferry());
    expect(code).toBe(1);
    expect(out).toContain('the Windows of web sleeps');
    expect(out).toContain('vmferry discard web');
    expect(out).toContain('what was copied is not copied again');
    described('import-status', (await run(['status', 'web', '-o', 'json'], ferry())).out);
    expect((await run(['explain', 'web'], ferry())).out).toContain('alpha copied web from vc');
    described('import-story', (await run(['explain', 'web', '-o', 'json'], ferry())).out);
    described(
      'import-report',
      (
        await run(['commit', 'web', '-o', 'json'], {
          ferry: work(new FakeImport(copyingStatus(), waitingStatus())),
        })
      ).out,
    );
  });

  it('is followed by status --watch, every state a line of data', async () => {
    const one = new FakeImport(copyingStatus(), convertingStatus(), waitingStatus());
    const { out } = await run(['status', 'web', '--watch', '-o', 'json'], { ferry: work(one) });
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) described('import-status', line);
  });

  it('says for what it waits', async () => {
    const waitsFor = 'web waits for a place: beta has 4 moves in already';
    const { progress, report } = copyingStatus();
    const waiting = { report: { ...report, waitsFor }, progress };
    const one = new FakeImport(waiting, waitingStatus());
    const { out } = await run(['status', 'web', '--watch'], { ferry: work(one) });
    expect(out).toContain(waitsFor);
    const theme = makeTheme({ color: false, ascii: false });
    const wide = { width: 100, command: 'vmferry', theme };
    expect(importFrame(waiting, wide, { now: 0, tick: 0 }).join('\n')).toContain(waitsFor);
  });

  it('takes another cap, and no pause', async () => {
    const one = new FakeImport(copyingStatus());
    const tune = ['tune', 'web', '--max-bandwidth', '1MiB/s'];
    const { out } = await run(tune, { ferry: work(one) });
    expect(out).toContain('It holds from now on.');
    expect(one.orders).toEqual(['tune 1048576']);
    const refused = await run([...tune, '--max-downtime', '5'], { ferry: work(one) });
    expect(refused.code).toBe(2);
    expect(refused.err).toContain('no pause');
  });

  it('has a copy to discard, which a move has not', async () => {
    const { code, err } = await run(['discard', 'web-1']);
    expect(code).toBe(2);
    expect(err).toContain('is a move');
  });

  it.each<[ImportPhase, Partial<ImportReport>, number]>([
    ['failed', {}, 3],
    ['failed', { steps: failedStatus().report.steps }, 1],
    ['rolled-back', {}, 5],
    ['rolled-back', { steps: failedStatus().report.steps }, 1],
    ['cancelled', {}, 5],
    ['parked', {}, 4],
    ['awaiting-commit', {}, 0],
    ['copying', {}, 0],
  ])('that is %s (%j) ends with %i', (phase, change, code) => {
    expect(exitCodeOfImport(importReportWith({ phase, ...change }))).toBe(code);
  });

  it('of several ends with what is worst', () => {
    expect(exitCodeOfAll([0, 3, 5, 4])).toBe(4);
    expect(exitCodeOfAll([0, 5, 1])).toBe(1);
    expect(exitCodeOfAll([0, 3])).toBe(3);
    expect(exitCodeOfAll([])).toBe(0);
  });

  it.each([
    ['web', 'web'],
    ['my web', importId],
    ['-rf', importId],
    ['import/x', importId],
    ['', importId],
  ])('of a VM called %j is named %s', (name, word) => {
    const report = importReportWith({ foreign: { provider: 'p', id: 'vm-42', name } });
    expect(importWord(report)).toBe(word);
  });

  it('keeps its disks in view between two heartbeats, and forgets them with the step', () => {
    const memory = new ImportMemory();
    const quiet = (status: ImportStatus): ImportStatus => ({ ...status, progress: [] });
    memory.next(copyingStatus());
    const { progress } = memory.next(quiet(copyingStatus()));
    expect(progress).toMatchObject([{ name: '2000', bytesPerSecond: 0 }]);
    expect(memory.next(convertingStatus()).progress).toEqual([]);
  });

  it('cannot forge lines of the terminal by what its platform says', async () => {
    const evil = `x${String.fromCharCode(27)}]0;title${String.fromCharCode(7)}\nfake`;
    const status = failedStatus({ vm: { name: evil, uuid: '' }, notes: [evil] });
    const { out } = await run(['status', 'web'], { ferry: work(new FakeImport(status)) });
    expect(out).not.toContain(String.fromCharCode(27));
    expect(out).not.toMatch(/^fake/mu);
  });
});
