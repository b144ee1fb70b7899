import { mkdtemp, rm, stat, mkdir, chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertPattern, observe } from '../../../activities/import/rehearse-checks.ts';
import type { Scene } from '../../../activities/import/rehearse-checks.ts';
import { letThrough } from '../../../activities/import/rehearse-reach.ts';
import { besideGuest, routeInto } from '../../../domain/import/rehearsal-address.ts';
import { lastLines, plainText } from '../../../domain/import/rehearsal.ts';
import { rehearsalName } from '../../../platforms/libvirt/rehearsal-xml.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rehearsal-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A guest whose console says one thing a look, and whose agent answers from a look on. */
const scene = (check: Scene['check'], played: Partial<Scene['host']> = {}): Scene => ({
  as: rehearsalName('a'.repeat(32)),
  host: {
    consolePath: () => '/console',
    emulator: () => Promise.resolve({ uid: 0, gid: 0 }),
    begin: () => Promise.resolve(),
    run: () => Promise.resolve(),
    state: () => Promise.resolve('running'),
    agentAnswers: () => Promise.resolve(false),
    console: (_as, from) => Promise.resolve({ text: from === 0 ? 'boot' : '', next: 1 }),
    end: () => Promise.resolve(),
    ...played,
  },
  ...{ check, checks: {}, limitMs: 700, folder: dir, label: 'rehearsal-test', facts: {} },
  signal: new AbortController().signal,
});

describe('what a rehearsal waits for', () => {
  it('is its agent, where nothing else was asked; without one it stays unproved', async () => {
    const answers = scene({ kind: 'auto' }, { agentAnswers: () => Promise.resolve(true) });
    expect(await observe(answers)).toMatchObject({ outcome: 'proved', console: ['boot'] });
    expect(await observe(scene({ kind: 'auto' }))).toMatchObject({ outcome: 'unproved' });
    expect(await observe(scene({ kind: 'agent' }))).toMatchObject({
      failed: 'its guest agent did not answer within 1 s',
    });
  });

  it('is found on a console in pieces, also where the guest powers off after it', async () => {
    const parts = ['log', 'in: \u001b[0', 'mweb\r\n'];
    const console: Scene['host']['console'] = (_as, from) =>
      Promise.resolve({ text: parts[from] ?? '', next: from + 1 });
    let looks = 0;
    const state: Scene['host']['state'] = () =>
      Promise.resolve((looks += 1) > 2 ? undefined : 'running');
    const check = { kind: 'console', pattern: '^login: web$' } as const;
    expect(await observe(scene(check, { console, state }))).toMatchObject({
      saw: 'its console says "login: web"',
    });
  });

  it.each([undefined, 'paused', 'crashed'] as const)(
    'never comes where it is %s',
    async (state) => {
      const played = { state: () => Promise.resolve(state) };
      const seen = await observe(scene({ kind: 'auto' }, played));
      expect(seen).toMatchObject({ failed: expect.stringContaining(state ?? 'off') as string });
    },
  );

  it('never comes where it shuts down: that is told once it is off, with its last words', async () => {
    const states = ['running', 'shutting-down', undefined] as const;
    const words = ['boot', 'ing\n', 'no disk', ' found\n'];
    let looks = 0;
    const state: Scene['host']['state'] = () => Promise.resolve(states[Math.min(looks++, 2)]);
    const console: Scene['host']['console'] = (_as, from) =>
      Promise.resolve({ text: words[from] ?? '', next: from + 1 });
    const seen = await observe({ ...scene({ kind: 'auto' }, { state, console }), limitMs: 5_000 });
    expect(seen).toEqual({
      failed: expect.stringContaining('it is off after') as string,
      console: ['booting', 'no disk found'],
    });
    const stuck = scene({ kind: 'auto' }, { state: () => Promise.resolve('shutting-down') });
    expect(await observe(stuck)).toMatchObject({
      failed: expect.stringContaining('it is shutting-down after') as string,
    });
  });

  it('is a port that takes connections', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const check = { kind: 'port', address: '127.0.0.1', port } as const;
    expect(await observe(scene(check))).toMatchObject({ outcome: 'proved' });
    await new Promise((resolve) => server.close(resolve));
    expect(await observe(scene(check))).toHaveProperty('failed');
  });

  it('is a pattern that is given up where it takes too long', async () => {
    expect(() => assertPattern('(')).toThrow(/is none/);
    expect(() => assertPattern('')).toThrow(/0 characters/);
    const console = () => Promise.resolve({ text: 'a'.repeat(60), next: 1 });
    const check = { kind: 'console', pattern: '^(a+)+$b' } as const;
    await expect(observe(scene(check, { console }))).rejects.toMatchObject({
      code: 'rehearsal-pattern-invalid',
    });
  });
});

/** What terminals take for orders, and text between. */
const wild = fc.constantFrom(
  ...['a', 'é', ' ', '[', ']', '0', ';', 'm', '?', '\n', '\r', '\t', '\0', '\u0007', '\u001b'],
  ...['\u007f', '\u0085', '\u009b', '\u202e', '\u2066', '🗄'],
);

describe('the text of a console', () => {
  it('is for people: bounded, without control characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: wild, maxLength: 400 }), (text) => {
        const lines = lastLines(plainText(text));
        expect(lines.length).toBeLessThanOrEqual(20);
        // eslint-disable-next-line no-control-regex -- finding control characters is its purpose
        for (const line of lines) expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
        expect(Math.max(0, ...lines.map((line) => line.length))).toBeLessThanOrEqual(200);
      }),
    );
    expect(plainText('\u001b[1;32mOK\u001b[0m\r\nnext\u001b]0;title\u0007')).toBe('OK\nnext');
  });
});

describe("this host's address beside a guest", () => {
  it('is another one of the smallest block that has room for both', () => {
    expect(besideGuest('198.51.100.20')).toMatchObject({ address: '198.51.100.19', prefix: 29 });
    expect(besideGuest('198.51.100.21')).toMatchObject({ address: '198.51.100.22', prefix: 30 });
    const octet = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(octet, octet, octet, octet, (...parts) => {
        const beside = besideGuest(parts.join('.'));
        if (beside === undefined) return;
        expect(beside.address).not.toBe(parts.join('.'));
        const number = (text: string) => text.split('.').reduce((sum, one) => sum * 256 + +one, 0);
        for (const each of [parts.join('.'), beside.address]) {
          expect(number(each)).toBeGreaterThan(beside.segment.first);
          expect(number(each)).toBeLessThan(beside.segment.first + beside.segment.size - 1);
        }
      }),
    );
    for (const none of ['web', '1.2.3', '1.2.3.256', '2001:db8::1'])
      expect(besideGuest(none)).toBeUndefined();
  });

  it('is refused where this host has a way there already, but for its default one', () => {
    const { segment } = besideGuest('198.51.100.20')!;
    const head = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n';
    const line = (to: string, mask: string) => `eth0\t${to}\t00000000\t0001\t0\t0\t0\t${mask}\n`;
    const anywhere = line('00000000', '00000000');
    expect(routeInto(segment, head + anywhere)).toBeUndefined();
    expect(routeInto(segment, head + anywhere + line('006433C6', '00FFFFFF'))).toBe(
      'eth0 198.51.100.0/24',
    );
    expect(routeInto(segment, head + line('007133CB', '00FFFFFF'))).toBeUndefined();
  });
});

describe('the way to the cache', () => {
  it('is opened for passing through folders of ours alone, and shows nothing of them', async () => {
    const [state, cache] = [join(dir, 'state'), join(dir, 'state', 'cache')];
    await mkdir(cache, { recursive: true });
    await writeFile(join(cache, 'disk'), '', { mode: 0o600 });
    for (const folder of [dir, state, cache]) await chmod(folder, 0o700);
    const emulator = { uid: 64_055, gid: 64_055 };
    const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
    const reach = { emulator, own: [state], host: 'alpha' };
    await expect(letThrough(cache, reach)).rejects.toMatchObject({
      code: 'rehearsal-folder-closed',
      message: expect.stringContaining(dir) as string,
    });
    await chmod(dir, 0o711);
    await letThrough(cache, reach);
    expect(await Promise.all([state, cache].map(modeOf))).toEqual([0o701, 0o701]);
    expect(await modeOf(join(cache, 'disk'))).toBe(0o600);
    await chmod(state, 0o700);
    await letThrough(cache, { ...reach, emulator: { uid: 0, gid: 0 } });
    expect(await modeOf(state)).toBe(0o700);
  });
});
