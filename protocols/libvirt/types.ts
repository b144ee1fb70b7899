/**
 * The structs that libvirt's calls share: references to its objects, typed parameters, the error body.
 * Source: src/remote/remote_protocol.x of libvirt, in which fields and limits have stayed the same
 * since 1.2; see the contract tests for what was tried.
 */
import { i32, message, optional, string, struct, uuid } from './codec.ts';
import type { TypeOf } from './codec.ts';

/** A domain (virtual machine); `id` is -1 while it does not run. Only the UUID decides which one it is. */
export const domain = struct({ name: string, uuid, id: i32 });
export type DomainRef = TypeOf<typeof domain>;

export const network = struct({ name: string, uuid });
export type NetworkRef = TypeOf<typeof network>;

export const pool = struct({ name: string, uuid });
export type PoolRef = TypeOf<typeof pool>;

/** A volume; `key` is unique on the host (the path, for volumes that are files). */
export const volume = struct({ pool: string, name: string, key: string });
export type VolumeRef = TypeOf<typeof volume>;

export const secret = struct({ uuid, usageType: i32, usageId: string });
export type SecretRef = TypeOf<typeof secret>;

export const snapshot = struct({ name: string, dom: domain });
export type SnapshotRef = TypeOf<typeof snapshot>;

export const checkpoint = struct({ name: string, dom: domain });
export type CheckpointRef = TypeOf<typeof checkpoint>;

/** The body of a reply that failed. */
export const remoteError = struct({
  code: i32,
  domain: i32,
  message: optional(message),
  level: i32,
  dom: optional(domain),
  string1: optional(message),
  string2: optional(message),
  string3: optional(message),
  int1: i32,
  int2: i32,
  network: optional(network),
});
export type RemoteError = TypeOf<typeof remoteError>;
