import { createHash, timingSafeEqual } from 'node:crypto';
import { serve, type ServerType } from '@hono/node-server';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { Hono, type Context, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import { isLoopback } from '../config/schema.ts';
import { VmFerryError, permanent } from '../domain/errors.ts';

/** Temporal refuses payloads beyond 2 MiB; base64 and a page of them make this plenty. */
const maxBodyBytes = 16 * 1024 * 1024;
const maxPayloads = 10_000;
const preflightSeconds = 3600;
/** How long requests that are under way may take after `close`, ms. */
const closeMs = 5_000;

export interface CodecServerOptions {
  codec: PayloadCodec;
  listen: { host: string; port: number };
  /** Web pages that may ask, as `SCHEME://HOST[:PORT]`. */
  origins: readonly string[];
  /** What callers have to present as `Authorization: Bearer ...`. */
  bearerToken?: string;
}

export interface RunningCodecServer {
  /** `http://127.0.0.1:8234`, with the port really taken. */
  url: string;
  /** Resolves once the port is free. */
  close(): Promise<void>;
}

/**
 * Decrypts payloads for Temporal's UI and CLI: `POST /decode` as in Temporal's remote codec protocol, for whom it may.
 * There is no `/encode`: what people type into a terminal is not to become a valid signal to a move.
 * Throws `codec-server-open` if it would listen beyond this machine without a token, `codec-server-listen-failed` if
 * the port cannot be had.
 */
export async function startCodecServer(options: CodecServerOptions): Promise<RunningCodecServer> {
  const { listen, bearerToken } = options;
  if (bearerToken === '' || (bearerToken === undefined && !isLoopback(listen.host)))
    throw open(listen.host);
  const server = await listening(codecApp(options), listen);
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : listen.port;
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return { url: `http://${host}:${port}`, close: () => closed(server) };
}

function codecApp({ codec, origins, bearerToken }: CodecServerOptions): Hono {
  const app = new Hono();
  app.use(
    cors({
      // An array, not a function that echoes: no origin that is not listed is ever named in an answer.
      origin: [...origins],
      allowMethods: ['POST'],
      allowHeaders: ['Content-Type', 'X-Namespace', 'Authorization'],
      maxAge: preflightSeconds,
    }),
  );
  app.use(refuseForeignPages(origins));
  if (bearerToken !== undefined) app.use('/decode', requireToken(bearerToken));
  app.post('/decode', bodyLimit({ maxSize: maxBodyBytes, onError: tooBig }), async (context) => {
    const payloads = parsePayloads(await context.req.text());
    if (payloads === undefined) {
      return context.json(
        { message: 'expected {"payloads": [{"metadata": {...}, "data": "base64"}]}' },
        400,
      );
    }
    const decoded = await codec.decode(payloads);
    context.header('Cache-Control', 'no-store');
    return context.json({ payloads: decoded.map(toJson) });
  });
  app.onError((error, context) => {
    if (!(error instanceof VmFerryError))
      return context.json({ message: 'the payloads cannot be decoded' }, 500);
    return context.json({ message: error.message, code: error.code, remedy: error.remedy }, 400);
  });
  return app;
}

const tooBig = (context: Context): Response =>
  context.json({ message: `a request may have ${maxBodyBytes} bytes` }, 413);

/**
 * CORS alone would keep the answer from a foreign page, yet still do the work. A browser sends the page's origin with
 * every POST, also one whose own name was made to point here (DNS rebinding).
 */
const refuseForeignPages =
  (origins: readonly string[]): MiddlewareHandler =>
  async (context, next) => {
    const origin = context.req.header('Origin');
    if (origin !== undefined && !origins.includes(origin)) {
      return context.json(
        { message: `pages of ${origin} may not ask; see codecServer.origins` },
        403,
      );
    }
    await next();
    return undefined;
  };

const requireToken =
  (token: string): MiddlewareHandler =>
  async (context, next) => {
    const given = /^Bearer (.+)$/i.exec(context.req.header('Authorization') ?? '')?.[1] ?? '';
    if (!sameText(given, token)) {
      context.header('WWW-Authenticate', 'Bearer');
      return context.json({ message: 'a valid bearer token is needed' }, 401);
    }
    await next();
    return undefined;
  };

/** In constant time: hashing first makes the lengths equal. */
function sameText(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** The protocol's JSON: protobuf's mapping, with bytes as base64. Undefined if it is anything else. */
function parsePayloads(text: string): Payload[] | undefined {
  const body = parseJson(text);
  if (!isRecord(body) || !Array.isArray(body['payloads']) || body['payloads'].length > maxPayloads)
    return undefined;
  const payloads = body['payloads'].map(fromJson);
  return payloads.every((payload) => payload !== undefined) ? payloads : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function fromJson(value: unknown): Payload | undefined {
  if (!isRecord(value)) return undefined;
  const { metadata = {}, data = '' } = value;
  if (!isRecord(metadata) || typeof data !== 'string') return undefined;
  const entries = Object.entries(metadata);
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string'))
    return undefined;
  return {
    metadata: Object.fromEntries(
      entries.map(([name, bytes]) => [name, Buffer.from(bytes, 'base64')]),
    ),
    data: Buffer.from(data, 'base64'),
  };
}

function toJson({ metadata, data }: Payload): { metadata: Record<string, string>; data: string } {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const entries = Object.entries(metadata ?? {}).map(([name, bytes]) => [name, base64(bytes)]);
  return {
    metadata: Object.fromEntries(entries) as Record<string, string>,
    data: base64(data ?? new Uint8Array()),
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const listening = (
  app: Hono,
  { host, port }: { host: string; port: number },
): Promise<ServerType> =>
  new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port }, () => {
      resolve(server);
    });
    server.once('error', (cause: Error) => {
      reject(
        permanent({
          code: 'codec-server-listen-failed',
          message: `the codec server cannot listen on ${host} port ${port}: ${cause.message}`,
          remedy: 'End what listens there, or set another `codecServer.listen`.',
          cause,
        }),
      );
    });
  });

const closed = (server: ServerType): Promise<void> =>
  new Promise((resolve, reject) => {
    const cut = setTimeout(() => {
      if ('closeAllConnections' in server) server.closeAllConnections();
    }, closeMs);
    server.close((error) => {
      clearTimeout(cut);
      if (error === undefined) resolve();
      else reject(error);
    });
    if ('closeIdleConnections' in server) server.closeIdleConnections();
  });

const open = (host: string) =>
  permanent({
    code: 'codec-server-open',
    message: `the codec server would show everything to whoever reaches ${host}, since it has no bearer token`,
    remedy: 'Set `codecServer.bearerToken` to a reference, or let it listen on 127.0.0.1.',
  });
