import { randomBytes } from 'node:crypto';
import { unsafe } from '../domain/errors.ts';
import type { VmFerryError } from '../domain/errors.ts';
import type { LedgerEntry } from '../domain/ownership.ts';

/**
 * What lets one live migration in. The hook honours it while the run counter stands at `runs`, counts, and reads the
 * entry again: so a token is good once, whatever becomes of the start.
 */
export interface Admission {
  /** 128 random bits, 32 hex digits; empty once it was withdrawn, so that a late attempt gets no other one. */
  token: string;
  /** The VM's run counter when the token was given. */
  runs: number;
}

/** Whose admission it is: the entry has to be `incoming` for this move at this epoch. */
export interface AdmissionRequest {
  migrationId: string;
  epoch: number;
}

/** How an admission of a move stands. */
export const AdmissionState = {
  /** None was given, or the entry is not (any more) `incoming` for that move at that epoch. */
  none: 'none',
  /** The hook lets a migration with its token in. */
  open: 'open',
  /** A start was counted after it was given: look at libvirt for what became of it. */
  used: 'used',
  /** Taken back before a start was counted: nothing came in by it, and nothing will. */
  withdrawn: 'withdrawn',
} as const;
export type AdmissionState = (typeof AdmissionState)[keyof typeof AdmissionState];

/** The rest of the line `admit`. */
export const formatAdmission = ({ token, runs }: Admission): string =>
  `${token === '' ? '-' : token} ${runs}`;

/** Inverse of `formatAdmission`; undefined for anything that it does not write. */
export function parseAdmission(value: string): Admission | undefined {
  const [, token, runs] = /^([0-9a-f]{32}|-) (0|[1-9]\d{0,14})$/.exec(value) ?? [];
  if (token === undefined || runs === undefined) return undefined;
  return { token: token === '-' ? '' : token, runs: Number(runs) };
}

/** A fresh one, at this count of starts. */
export const newAdmission = (runs: number): Admission => ({
  token: randomBytes(16).toString('hex'),
  runs,
});

/** How it stands at this count of starts. The count has to be read after the admission. */
export function admissionState(admission: Admission | undefined, runs: number): AdmissionState {
  if (admission === undefined) return AdmissionState.none;
  if (admission.runs !== runs) return AdmissionState.used;
  return admission.token === '' ? AdmissionState.withdrawn : AdmissionState.open;
}

/** Whether the entry is `incoming` for this move at this epoch. */
export const isAwaited = (entry: LedgerEntry | undefined, request: AdmissionRequest): boolean =>
  entry?.state === 'incoming' &&
  entry.epoch === request.epoch &&
  entry.migrationId === request.migrationId;

/** No admission for a move that the ledger does not await. */
export function notAwaited(
  entry: LedgerEntry | undefined,
  about: AdmissionRequest & { uuid: string; host: string },
): VmFerryError {
  const { uuid, host, epoch } = about;
  const holds =
    entry === undefined
      ? `does not hold VM ${uuid}`
      : `holds VM ${entry.name} (${uuid}) as ${entry.state}, epoch ${entry.epoch}, ${entry.migrationId === '' ? 'set by hand' : `for ${entry.migrationId}`}`;
  return unsafe({
    code: entry !== undefined && entry.epoch > epoch ? 'stale-epoch' : 'ownership-conflict',
    message: `the ledger of ${host} ${holds}: it admits no live migration of ${about.migrationId}, epoch ${epoch}`,
    remedy: 'Nothing was changed. See `vmferry status` for the move that set this state.',
    host,
  });
}

/** One admission a word: a used or withdrawn one is not replaced by itself. */
export const notAgain = (
  state: AdmissionState,
  about: AdmissionRequest & { uuid: string; host: string },
): VmFerryError =>
  unsafe({
    code: `admission-${state}`,
    message: `the live migration of VM ${about.uuid} to ${about.host} (${about.migrationId}) was admitted before, and that admission is ${state}`,
    remedy:
      'Find out on both hosts where the VM runs. Only once it is seen to run on the source and to be gone from the target may it be admitted again.',
    host: about.host,
  });
