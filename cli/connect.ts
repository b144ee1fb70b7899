/** From the configuration to a client: keys and certificates are read here, and kept nowhere. */
import type { Config } from '../config/schema.ts';
import type { Ferry } from './ferry.ts';
import { operatorOf } from './operator.ts';

/** Throws what `resolvePayloadKeys` and `connectionSettings` throw, and `temporal-unreachable`. */
export async function connectFrom(config: Config): Promise<Ferry> {
  const [{ VmFerry }, { dataConverter }, { resolvePayloadKeys }, { connectionSettings }] =
    await Promise.all([
      import('../client/vmferry.ts'),
      import('../workers/payload-codec.ts'),
      import('../config/secrets.ts'),
      import('../config/temporal-connection.ts'),
    ]);
  const keys = await resolvePayloadKeys(config.encryption);
  return VmFerry.connectWith({
    ...(await connectionSettings(config.temporal)),
    namespace: config.temporal.namespace,
    cluster: config.cluster,
    operator: operatorOf(process.env),
    dataConverter: dataConverter(keys),
  });
}

/** Reads every encryption key as a worker would; gives their IDs, the active one first. */
export async function readKeys(config: Config): Promise<string[]> {
  const [{ EncryptionCodec }, { resolvePayloadKeys }] = await Promise.all([
    import('../workers/payload-codec.ts'),
    import('../config/secrets.ts'),
  ]);
  const ring = await resolvePayloadKeys(config.encryption);
  // The codec checks lengths and IDs.
  new EncryptionCodec(ring);
  return [ring.active, ...ring.keys.map(({ id }) => id).filter((id) => id !== ring.active)];
}
