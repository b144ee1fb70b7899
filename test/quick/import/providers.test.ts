import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { providers as schema } from '../../../config/provider-schema.ts';
import { ConfiguredProviders } from '../../../workers/providers.ts';

const hostKey = `SHA256:${'A'.repeat(43)}`;
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'providers-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const configured = (section: unknown): ConfiguredProviders =>
  new ConfiguredProviders({
    ...{ host: 'alpha', scratchDir: dir },
    providers: schema.parse(section),
  });
const signal = AbortSignal.timeout(5_000);
const options = { label: 'm1', pause: false, reads: true, signal };

describe('the providers of a configuration', () => {
  it('are listed by name, kind and place, never with a secret', () => {
    const password = 'env:SECRET';
    const lines = configured({
      shelf: { kind: 'ova', folder: '/srv/ova' },
      attic: { kind: 'kvm', address: 'old.example:2222', user: 'root', password, hostKey },
      vc: { kind: 'vsphere', address: 'vc.example', user: 'u', password, insecure: true },
    }).lines();
    expect(lines).toEqual([
      { name: 'shelf', kind: 'ova', address: '/srv/ova' },
      { name: 'attic', kind: 'kvm', address: 'old.example:2222' },
      { name: 'vc', kind: 'vsphere', address: 'vc.example' },
    ]);
    expect(JSON.stringify(lines)).not.toContain('SECRET');
  });

  it.each(['nowhere', 'constructor'])(
    'do not include %s, and say which there are',
    async (name) => {
      const providers = configured({ shelf: { kind: 'ova', folder: dir } });
      await expect(providers.open(name, options)).rejects.toMatchObject({
        code: 'provider-unknown',
        message: expect.stringContaining('it has shelf') as string,
      });
    },
  );

  it('open nothing where a secret is not to be had', async () => {
    const user = { user: 'root', hostKey };
    const providers = configured({
      kvm: { kind: 'kvm', address: 'old.example', ...user, password: 'env:NO_SUCH_SECRET' },
      key: { kind: 'kvm', address: 'old.example', ...user, key: `file:${dir}/missing` },
      vc: {
        ...{ kind: 'vsphere', address: 'vc.example', user: 'u', insecure: true },
        password: `file:${dir}/missing`,
      },
    });
    for (const name of ['kvm', 'key', 'vc'])
      await expect(providers.open(name, options), name).rejects.toMatchObject({
        code: 'secret-unavailable',
      });
  });

  it('open a foreign host through its jump hosts without calling anybody yet', async () => {
    const password = `file:${join(dir, 'password')}`;
    await writeFile(join(dir, 'password'), 'secret\n', { mode: 0o600 });
    const login = { user: 'root', password, hostKey };
    const providers = configured({
      attic: {
        ...{ kind: 'kvm', address: '[2001:db8::7]:2222', ...login },
        jump: [
          { address: 'outer.example', ...login },
          { address: 'inner.example', ...login },
        ],
      },
    });
    await using source = await providers.open('attic', options);
    expect(source.kind).toBe('kvm');
  });
});
