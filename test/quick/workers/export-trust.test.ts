import { mkdtemp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ExportTrust } from '../../../workers/export-trust.ts';

const move = 'migrate/lab/7d9e6a4c';
let dir: string;
let trust: ExportTrust;
const put = (name: string, text: string): Promise<void> => writeFile(join(dir, 'tls', name), text);

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'trust-'));
  await mkdir(join(dir, 'tls'));
  for (const name of ['ca-cert.pem', 'server-cert.pem', 'server-key.pem']) await put(name, name);
  trust = new ExportTrust({ stateDir: dir, tlsDir: join(dir, 'tls') });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('the certificates that an export was started with', () => {
  it.each(['ca-cert.pem', 'ca-crl.pem', 'server-cert.pem', 'server-key.pem'])(
    'are stale once %s is another',
    async (name) => {
      await trust.remember(move, 'vda', await trust.now());
      expect(await trust.isStale(move, 'vda', await trust.now())).toBe(false);
      await put(name, 'renewed');
      expect(await trust.isStale(move, 'vda', await trust.now())).toBe(true);
    },
  );

  it('are taken for good where nothing is known of them', async () => {
    expect(await trust.isStale(move, 'vda', await trust.now())).toBe(false);
  });

  it('are forgotten with their move, and with no other', async () => {
    await trust.remember(move, 'vda', 'a');
    await trust.remember(`${move}b`, 'vda', 'a');
    await trust.forgetAll(move);
    expect(await readdir(join(dir, 'export-trust'))).toHaveLength(1);
    expect(await trust.isStale(`${move}b`, 'vda', 'b')).toBe(true);
  });
});
