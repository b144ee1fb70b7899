import { readFile } from 'node:fs/promises';
import { needsOperator } from '../domain/errors.ts';
import type { TemporalConfig } from './schema.ts';
import { readPrivateFile, resolveText, type ResolveOptions } from './secrets.ts';

/** What `Connection.connect` (client) and `NativeConnection.connect` (worker) both take. */
export interface ConnectionSettings {
  address: string;
  tls?: {
    serverNameOverride?: string;
    serverRootCACertificate?: Buffer;
    clientCertPair?: { crt: Buffer; key: Buffer };
  };
  apiKey?: string;
}

/**
 * Reads certificates and resolves the API key. An API key is never sent over a plain connection.
 * Throws `tls-file-unreadable`, `api-key-without-tls`, or as `resolveReference`.
 */
export async function connectionSettings(
  config: TemporalConfig,
  options: ResolveOptions = {},
): Promise<ConnectionSettings> {
  const settings: ConnectionSettings = { address: config.address };
  if (config.tls !== undefined) {
    const { ca, cert, key, serverName } = config.tls;
    settings.tls = {};
    if (serverName !== undefined) settings.tls.serverNameOverride = serverName;
    if (ca !== undefined) settings.tls.serverRootCACertificate = await readPublic(ca);
    if (cert !== undefined && key !== undefined) {
      settings.tls.clientCertPair = {
        crt: await readPublic(cert),
        key: await readPrivateFile(key),
      };
    }
  }
  if (config.apiKey !== undefined) {
    if (config.tls === undefined) throw keyWithoutTls(config.address);
    settings.apiKey = await resolveText(config.apiKey, options);
  }
  return settings;
}

const keyWithoutTls = (address: string) =>
  needsOperator({
    code: 'api-key-without-tls',
    message: `temporal.apiKey is set, but the connection to ${address} has no TLS: the key would cross the network readable`,
    remedy: 'Add a `tls` section under `temporal`; an empty one (`tls: {}`) uses the system’s CAs.',
  });

async function readPublic(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw needsOperator({
      code: 'tls-file-unreadable',
      message: `the certificate ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy: 'Correct the path under `temporal.tls`, or let this user read the file.',
      cause,
    });
  }
}
