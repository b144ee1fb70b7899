/**
 * The wire table: number, arguments and results of each call, in wire order.
 *
 * libvirt calls this protocol internal, but has only ever appended to it. Source of the numbers and
 * layouts: src/remote/remote_protocol.x (program 0x20008086, version 1). A daemon that is older than
 * a call answers it with the error RPC ("unknown procedure").
 */
import type { Codec, Fields, StructOf } from './codec.ts';
import { blockCalls } from './procedures/block.ts';
import { domainCalls } from './procedures/domain.ts';
import { eventCalls } from './procedures/event.ts';
import { hostCalls } from './procedures/host.ts';
import { migrationCalls } from './procedures/migration.ts';
import { networkAndSecretCalls } from './procedures/network-and-secret.ts';
import { storageCalls } from './procedures/storage.ts';
import type { Procedure } from './procedures/call.ts';

/** Every call that this client knows, by name. */
export const procedures = {
  ...hostCalls,
  ...domainCalls,
  ...migrationCalls,
  ...blockCalls,
  ...storageCalls,
  ...networkAndSecretCalls,
  ...eventCalls,
} as const;

export type ProcedureName = keyof typeof procedures;

/** The calls that open a stream. */
export type StreamName = 'StorageVolUpload' | 'StorageVolDownload';

/** The arguments of a call. */
export type ArgsOf<N extends ProcedureName> =
  (typeof procedures)[N] extends Procedure<infer A, Fields> ? StructOf<A> : never;

/** The results of a call; an empty object for those that only succeed. */
export type ResultOf<N extends ProcedureName> =
  (typeof procedures)[N] extends Procedure<Fields, infer R> ? StructOf<R> : never;

/** A call's codecs, with its types tied to its name. */
export interface WireCall<N extends ProcedureName> {
  readonly number: number;
  readonly args: Codec<ArgsOf<N>>;
  readonly result: Codec<ResultOf<N>>;
}

/** The table's row of a call. */
export function wireCallOf<N extends ProcedureName>(name: N): WireCall<N> {
  return procedures[name] as unknown as WireCall<N>;
}
