import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backend } from '../../../cli/backend.ts';
import { certificateFindings } from '../../../cli/certificate-findings.ts';
import { runCli } from '../../../cli/program.ts';
import { parseConfig } from '../../../config/load.ts';
import { Authority } from '../../../pki/authority.ts';
import { terminalWith } from '../cli/fake-client.ts';

let dir: string;
let ca: string;

const run = async (...args: string[]) => {
  const terminal = terminalWith();
  const code = await runCli(['pki', ...args], { terminal, backend });
  return { code, out: terminal.stdout(), err: terminal.stderr() };
};
const at = (name: string): string => join(dir, name);

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmferry-pki-'));
  ca = at('ca');
  // Small keys, and what `init` would make; the commands below sign with it.
  await new Authority({ dir: ca, keyBits: 1024 }).init();
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('vmferry pki', () => {
  it('makes an authority, says that its key lies open, and makes no second one', async () => {
    const first = await run('init', '--dir', at('open'));
    expect(first.code).toBe(0);
    expect(first.err).toContain('is not encrypted');
    expect((await stat(join(at('open'), 'ca-key.pem'))).mode & 0o777).toBe(0o600);
    const second = await run('init', '--dir', at('open'), '-o', 'json');
    expect(second.code).not.toBe(0);
    expect(JSON.parse(second.err)).toMatchObject({ error: { code: 'pki-file-exists' } });
  });

  it('issues, installs, renews, revokes and lists', async () => {
    const issued = await run('issue', 'alpha', '--address', '198.51.100.11', '--dir', ca);
    expect(issued).toMatchObject({ code: 0, err: '' });
    expect(issued.out).toContain('vmferry pki install');
    const bundle = join(ca, 'bundles/alpha');
    const installed = await run('install', bundle, '--pki-dir', at('etc'), '-o', 'json');
    expect(JSON.parse(installed.out)).toMatchObject({
      changed: expect.arrayContaining([at('etc/qemu/server-cert.pem')]) as unknown,
    });
    expect((await run('renew', 'alpha', '--dir', ca)).code).toBe(0);
    expect((await run('install', bundle, '--pki-dir', at('etc'))).out.split('\n')).toHaveLength(5);
    expect((await run('install', bundle, '--pki-dir', at('etc'))).out).toBe('All was in place.\n');

    expect((await run('revoke', 'alpha', '--reason', 'sold', '--dir', ca)).code).toBe(0);
    expect(await readFile(join(ca, 'ca-crl.pem'), 'utf8')).toContain('BEGIN X509 CRL');
    const table = (await run('list', '--dir', ca)).out;
    expect(table).toMatch(/alpha +host +revoked .*198\.51\.100\.11/);
    const lines: unknown = JSON.parse((await run('list', '--dir', ca, '-o', 'json')).out);
    expect(lines).toMatchObject([
      { name: 'alpha', state: 'revoked', replaced: false },
      { name: 'alpha', state: 'valid', replaced: true },
    ]);
  });

  it.each([
    { args: ['issue', 'alpha', '--days', '0'], says: '--days' },
    { args: ['issue', 'alpha', '--role', 'king'], says: '--role' },
    { args: ['revoke', 'alpha'], says: '--reason' },
  ])('refuses $args as wrong use', async ({ args, says }) => {
    const { code, err } = await run(...args);
    expect(code).toBe(2);
    expect(err).toContain(says);
  });
});

describe("doctor's look at this machine's certificates", () => {
  it('names each file that the configuration does, and what to do about it', async () => {
    const authority = new Authority({ dir: at('doctor'), keyBits: 1024 });
    await authority.init();
    const subject = { role: 'host', name: 'alpha', dns: [], addresses: [] } as const;
    const { cert } = await authority.issue(subject, { days: 12 });
    for (const name of ['ca-cert.pem', 'client-cert.pem']) await writeFile(at(name), cert);
    const config = parseConfig(
      `host: { name: alpha, migrationAddress: 198.51.100.11, tls: { dir: ${dir} } }`,
    );
    expect(await certificateFindings(config)).toMatchObject([
      { state: 'bad', detail: expect.stringContaining('for 11 days more') as unknown },
      { state: 'bad', remedy: expect.stringContaining('vmferry pki renew') as unknown },
      {
        state: 'bad',
        detail: expect.stringContaining('server-cert.pem cannot be read') as unknown,
      },
    ]);
  });

  it('says nothing where there are none', async () => {
    expect(await certificateFindings(parseConfig(''))).toEqual([]);
  });
});
