import { resolvePayloadKeys, resolveText } from '../config/secrets.ts';
import type { Config } from '../config/schema.ts';
import { needsOperator } from '../domain/errors.ts';
import { startCodecServer, type RunningCodecServer } from './codec-server.ts';
import { EncryptionCodec } from '../client/payload-codec.ts';

/**
 * `vmferry codec-server`: resolves keys and token as the configuration names them, then serves until `close`.
 * Throws `codec-server-missing` without a section `codecServer`, or as `resolveReference` and `startCodecServer`.
 */
export async function startConfiguredCodecServer(config: Config): Promise<RunningCodecServer> {
  const { codecServer, encryption } = config;
  if (codecServer === undefined) {
    throw needsOperator({
      code: 'codec-server-missing',
      message: 'the configuration has no section `codecServer`',
      remedy:
        'Add one with `origins`, the address of Temporal’s UI; docs/configuration.md shows how.',
    });
  }
  const codec = new EncryptionCodec(await resolvePayloadKeys(encryption));
  const { listen, origins, bearerToken } = codecServer;
  return startCodecServer({
    codec,
    listen,
    origins,
    ...(bearerToken === undefined ? {} : { bearerToken: await resolveText(bearerToken) }),
  });
}

/** Runs it until SIGINT or SIGTERM; `onReady` is told its URL. */
export async function runCodecServer(
  config: Config,
  onReady: (url: string) => void,
): Promise<void> {
  const server = await startConfiguredCodecServer(config);
  const stopped = new Promise<void>((resolve) => {
    const stop = (): void => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
      resolve();
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  });
  onReady(server.url);
  await stopped;
  await server.close();
}
