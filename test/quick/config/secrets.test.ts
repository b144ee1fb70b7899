import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import { resolvePayloadKeys, resolveReference, resolveText } from '../../../config/secrets.ts';
import { connectionSettings } from '../../../config/temporal-connection.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vmferry-secrets-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});
const file = (content: string | Buffer, mode = 0o600): string => {
  const path = join(dir, randomBytes(4).toString('hex'));
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
};

describe('a reference', () => {
  it('names a variable, a file or a program', async () => {
    expect(await resolveText('env:TOKEN', { env: { TOKEN: 'swordfish' } })).toBe('swordfish');
    expect(await resolveText(`file:${file('swordfish\n')}`)).toBe('swordfish');
    expect(await resolveText('exec:/bin/echo sword fish')).toBe('sword fish');
  });

  it('keeps the bytes of a file as they are', async () => {
    const bytes = randomBytes(32);
    expect(await resolveReference(`file:${file(bytes)}`)).toEqual(bytes);
  });

  it.each([0o644, 0o604, 0o602, 0o777])(
    'refuses a file of mode %o, and says what to run',
    async (mode) => {
      const path = file('swordfish', mode);
      await expect(resolveReference(`file:${path}`)).rejects.toMatchObject({
        code: 'secret-exposed',
        remedy: expect.stringContaining(`chmod 0600 ${path}`) as string,
      });
    },
  );

  it('lets the group read: services share secrets that way', async () => {
    expect(await resolveText(`file:${file('x', 0o640)}`)).toBe('x');
  });

  it.each([
    ['a variable that is not set', 'env:NOPE'],
    ['a file that is not there', 'file:/nonexistent/key'],
    ['a folder', `file:${tmpdir()}`],
    ['a program that is not there', 'exec:/nonexistent/program'],
    ['a program that fails', 'exec:/bin/false'],
    ['a program that says nothing', 'exec:/bin/true'],
    ['a program that says too much', 'exec:/bin/dd if=/dev/zero bs=1k count=65 status=none'],
    ['something else', 'plain'],
  ])('refuses %s', async (_what, reference) => {
    await expect(resolveReference(reference, { env: {} })).rejects.toMatchObject({
      code: 'secret-unavailable',
    });
  });

  it('stops a program that takes too long', async () => {
    await expect(resolveReference('exec:/bin/sleep 30', { timeoutMs: 50 })).rejects.toThrow(
      /more than 50 ms/,
    );
  });

  it('runs no shell', async () => {
    expect(await resolveText('exec:/bin/echo $HOME;id')).toBe('$HOME;id');
  });

  it('never repeats what a failing program printed', async () => {
    const script = file('#!/bin/sh\necho swordfish; echo swordfish >&2; exit 3\n', 0o700);
    const error = await resolveReference(`exec:${script}`).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    );
    expect(error?.message).toContain('exit code 3');
    expect(JSON.stringify([error, error?.message, error?.cause, error?.stack])).not.toContain(
      'swordfish',
    );
  });
});

describe('payload keys', () => {
  const raw = randomBytes(32);
  it.each([
    ['raw', raw],
    ['base64', `${raw.toString('base64')}\n`],
    ['hex', `${raw.toString('hex')}\n`],
  ])('are read as %s', async (_form, content) => {
    const { encryption } = parseConfig(
      `encryption: { active: k1, keys: [{ id: k1, key: 'file:${file(content)}' }] }`,
    );
    expect(await resolvePayloadKeys(encryption)).toEqual({
      keys: [{ id: 'k1', key: raw }],
      active: 'k1',
    });
  });

  it('of another length are refused', async () => {
    const { encryption } = parseConfig(
      `encryption: { active: k1, keys: [{ id: k1, key: 'file:${file('short')}' }] }`,
    );
    await expect(resolvePayloadKeys(encryption)).rejects.toMatchObject({
      code: 'payload-key-invalid',
    });
  });

  it('have to be there: nothing is stored unencrypted', async () => {
    await expect(resolvePayloadKeys(undefined)).rejects.toMatchObject({
      code: 'encryption-missing',
    });
  });
});

describe('the connection to Temporal', () => {
  it('is plain without TLS, and carries certificates and key with it', async () => {
    expect(await connectionSettings(parseConfig('').temporal)).toEqual({
      address: '127.0.0.1:7233',
    });
    const paths = { ca: file('CA', 0o644), cert: file('CERT', 0o644), key: file('KEY') };
    const { temporal } = parseConfig(
      JSON.stringify({ temporal: { tls: { ...paths, serverName: 's' }, apiKey: 'env:K' } }),
    );
    expect(await connectionSettings(temporal, { env: { K: 'secret' } })).toEqual({
      address: '127.0.0.1:7233',
      tls: {
        serverNameOverride: 's',
        serverRootCACertificate: Buffer.from('CA'),
        clientCertPair: { crt: Buffer.from('CERT'), key: Buffer.from('KEY') },
      },
      apiKey: 'secret',
    });
  });

  it('never sends an API key without TLS', async () => {
    const { temporal } = parseConfig('temporal: { apiKey: env:K }');
    await expect(connectionSettings(temporal, { env: { K: 'x' } })).rejects.toMatchObject({
      code: 'api-key-without-tls',
    });
  });

  it('refuses a private key that others may read', async () => {
    const paths = { cert: file('CERT'), key: file('KEY', 0o644) };
    const { temporal } = parseConfig(JSON.stringify({ temporal: { tls: paths } }));
    await expect(connectionSettings(temporal)).rejects.toMatchObject({ code: 'secret-exposed' });
  });

  it('names a certificate that cannot be read', async () => {
    const { temporal } = parseConfig('temporal: { tls: { ca: /nonexistent/ca.pem } }');
    await expect(connectionSettings(temporal)).rejects.toThrow(/\/nonexistent\/ca\.pem/);
  });
});
