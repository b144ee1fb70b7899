import { randomBytes } from 'node:crypto';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { afterEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import {
  startCodecServer,
  type CodecServerOptions,
  type RunningCodecServer,
} from '../../../workers/codec-server.ts';
import { startConfiguredCodecServer } from '../../../workers/codec-server-process.ts';
import { EncryptionCodec } from '../../../client/payload-codec.ts';

const codec = new EncryptionCodec({ keys: [{ id: 'k1', key: randomBytes(32) }], active: 'k1' });
const ui = 'http://127.0.0.1:8233';
const running: RunningCodecServer[] = [];
const start = async (options: Partial<CodecServerOptions> = {}): Promise<string> => {
  const server = await startCodecServer({
    codec,
    listen: { host: '127.0.0.1', port: 0 },
    origins: [ui],
    ...options,
  });
  running.push(server);
  return server.url;
};
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
});

const json = ({ metadata, data }: Payload) => ({
  metadata: Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, bytes]) => [
      name,
      Buffer.from(bytes).toString('base64'),
    ]),
  ),
  data: Buffer.from(data ?? []).toString('base64'),
});
const sealed = async (value: unknown) =>
  json((await codec.encode([defaultPayloadConverter.toPayload(value)]))[0]!);
const decode = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${url}/decode`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', 'X-Namespace': 'default', ...headers },
  });

describe('the codec server', () => {
  it('decrypts what the codec encrypted, in the protocol of Temporal’s UI', async () => {
    const url = await start();
    const answer = await decode(
      url,
      { payloads: [await sealed({ vm: 'web-1' }), await sealed('x')] },
      { Origin: ui },
    );
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { payloads } = (await answer.json()) as {
      payloads: { data: string; metadata: Record<string, string> }[];
    };
    expect(payloads.map(({ data }) => Buffer.from(data, 'base64').toString())).toEqual([
      '{"vm":"web-1"}',
      '"x"',
    ]);
    expect(Buffer.from(payloads[0]!.metadata['encoding']!, 'base64').toString()).toBe('json/plain');
  });

  it('lets the configured page ask beforehand, with the headers that the UI sends', async () => {
    const url = await start();
    const headers = {
      Origin: ui,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'x-namespace,authorization',
    };
    const answer = await fetch(`${url}/decode`, { method: 'OPTIONS', headers });
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-origin')).toBe(ui);
    expect(answer.headers.get('access-control-allow-headers')).toMatch(/X-Namespace/i);
    expect(answer.headers.get('access-control-allow-headers')).toMatch(/Authorization/i);
  });

  it('names no other page in an answer and refuses its requests', async () => {
    const url = await start();
    const foreign = { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' };
    const preflight = await fetch(`${url}/decode`, { method: 'OPTIONS', headers: foreign });
    expect(preflight.headers.get('access-control-allow-origin')).toBeNull();
    const answer = await decode(url, { payloads: [await sealed('x')] }, foreign);
    expect(answer.status).toBe(403);
    expect(await answer.text()).not.toContain(Buffer.from('"x"').toString('base64'));
  });

  it('asks for the token, if there is one', async () => {
    const url = await start({ bearerToken: 'swordfish' });
    const body = { payloads: [await sealed('x')] };
    for (const Authorization of [
      '',
      'Bearer',
      'Bearer swordfis',
      'Bearer swordfish2',
      'Basic swordfish',
    ]) {
      expect((await decode(url, body, { Authorization })).status).toBe(401);
    }
    expect((await decode(url, body, { Authorization: 'Bearer swordfish' })).status).toBe(200);
  });

  it('does not encrypt: what is typed into a terminal is not to reach a move', async () => {
    const url = await start();
    expect((await fetch(`${url}/encode`, { method: 'POST', body: '{"payloads":[]}' })).status).toBe(
      404,
    );
    expect((await fetch(`${url}/decode`)).status).toBe(404);
  });

  it('refuses to be open: beyond loopback only with a token, and none that is empty', async () => {
    for (const host of ['0.0.0.0', '::', '198.51.100.11']) {
      await expect(start({ listen: { host, port: 0 } })).rejects.toMatchObject({
        code: 'codec-server-open',
      });
    }
    await expect(start({ bearerToken: '' })).rejects.toMatchObject({ code: 'codec-server-open' });
  });

  it.each([
    ['no JSON', '{'],
    ['no payloads', {}],
    ['payloads that are none', { payloads: ['x'] }],
    ['metadata that is none', { payloads: [{ metadata: { encoding: 1 } }] }],
    ['data that is no text', { payloads: [{ data: 1 }] }],
    ['too many', { payloads: Array(10_001).fill({}) }],
  ])('refuses %s', async (_what, body) => {
    expect((await decode(await start(), body)).status).toBe(400);
  });

  it('says why a payload cannot be read', async () => {
    const answer = await decode(await start(), {
      payloads: [json(defaultPayloadConverter.toPayload('plain'))],
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: 'payload-not-encrypted' });
  });

  it('refuses a body beyond its limit', async () => {
    expect((await decode(await start(), ' '.repeat(16 * 1024 * 1024 + 1))).status).toBe(413);
  });

  it('names the port that is taken', async () => {
    const url = await start();
    const port = Number(new URL(url).port);
    await expect(start({ listen: { host: '127.0.0.1', port } })).rejects.toThrow(`port ${port}`);
  });

  it('frees its port when closed, and listens on IPv6', async () => {
    const server = await startCodecServer({ codec, listen: { host: '::1', port: 0 }, origins: [] });
    expect(server.url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect((await decode(server.url, { payloads: [] })).status).toBe(200);
    await server.close();
    await expect(decode(server.url, { payloads: [] })).rejects.toThrow();
  });

  it('is started from the configuration, and wants its section there', async () => {
    const encryption = 'encryption: { active: k1, keys: [{ id: k1, key: env:TEST_PAYLOAD_KEY }] }';
    process.env['TEST_PAYLOAD_KEY'] = randomBytes(32).toString('base64');
    const server = await startConfiguredCodecServer(
      parseConfig(`${encryption}\ncodecServer: { listen: 127.0.0.1:0 }`),
    );
    running.push(server);
    expect((await decode(server.url, { payloads: [] })).status).toBe(200);
    await expect(startConfiguredCodecServer(parseConfig(encryption))).rejects.toMatchObject({
      code: 'codec-server-missing',
    });
  });
});
