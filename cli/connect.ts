/** From the configuration to a client: keys and certificates are read here, and kept nowhere. */
import type { Config } from '../config/schema.ts';
import type { Ferry } from './ferry.ts';
import { operatorOf } from './operator.ts';

/** Throws what `VmFerry.connect` throws. */
export async function connectFrom(
  config: Config,
  operator: string = operatorOf(process.env),
): Promise<Ferry> {
  const { VmFerry } = await import('../client/vmferry.ts');
  return VmFerry.connect({ config, operator });
}

/** Reads every encryption key as a worker would; gives their IDs, the active one first. */
export async function readKeys(config: Config): Promise<string[]> {
  const [{ EncryptionCodec }, { resolvePayloadKeys }] = await Promise.all([
    import('../client/payload-codec.ts'),
    import('../config/secrets.ts'),
  ]);
  const ring = await resolvePayloadKeys(config.encryption);
  // The codec checks lengths and IDs.
  new EncryptionCodec(ring);
  return [ring.active, ...ring.keys.map(({ id }) => id).filter((id) => id !== ring.active)];
}
