/** A client of libvirt's RPC protocol in plain TypeScript. `README.md` shows its use. */
export { Abilities, byFirstWay, Feature, Lack, lackOf } from './abilities.ts';
export { Connection } from './connection.ts';
export type { CallOptions, OpenOptions, Subscription } from './connection.ts';
export {
  AuthenticationFailed,
  AuthenticationRequired,
  CallAborted,
  CallTimeout,
  CertificateRejected,
  CloseKind,
  ConnectFailed,
  ConnectionLost,
  LibvirtError,
  ProtocolError,
  TooManyCalls,
} from './errors.ts';
export type { CloseReason } from './errors.ts';
export { ErrorCode } from './error-codes.ts';
export type { ErrorName } from './error-codes.ts';
export * from './enums.ts';
export { events } from './events.ts';
export type { EventName, EventOf } from './events.ts';
export { formatVersion } from './handshake.ts';
export type { KeepAliveOptions } from './keep-alive.ts';
export { procedures } from './procedures.ts';
export type { ArgsOf, ProcedureName, ResultOf } from './procedures.ts';
export type { EventHandler } from './subscriptions.ts';
export type { SurplusHandler } from './surplus.ts';
export type { Endpoint, TlsEndpoint } from './transport.ts';
export { saslMechanisms } from './sasl/mechanisms.ts';
export type { SaslCredentials, SaslMechanism } from './sasl/mechanisms.ts';
export { findSocket, socketCandidates } from './sockets.ts';
export type { SocketCandidate, SocketQuery } from './sockets.ts';
export type { StreamChunk } from './stream.ts';
export { numberParam, param, stringParam } from './typed-params.ts';
export type { TypedParam } from './typed-params.ts';
export { downloadVolume, uploadVolume } from './volume-streams.ts';
export type { StreamTotals, VolumeStreamOptions } from './volume-streams.ts';
export type {
  CheckpointRef,
  DomainRef,
  NetworkRef,
  PoolRef,
  SecretRef,
  SnapshotRef,
  VolumeRef,
} from './types.ts';
