/** What the commands about this machine print with `-o json`: its configuration, the lab, certificates. */
import { z } from 'zod';
import type { ConfigProblem } from '../../config/problems.ts';
import { count, fault, flag, milliseconds, text, time } from './parts.ts';
import type { ShapeOf } from './parts.ts';

/** Every error, on stderr. */
export const error = z.strictObject({ error: fault });

const problem: z.ZodType<ConfigProblem> = z.strictObject({
  line: count,
  column: count,
  key: text,
  message: text,
  remedy: text,
} satisfies ShapeOf<ConfigProblem>);

/** `config check` */
export const configCheck = z.strictObject({
  file: text,
  ok: flag,
  problems: z.array(problem),
  serves: z.array(z.enum(['client', 'control', 'host', 'codec-server'])),
});

/** `config show`: the keys of docs/configuration.md, in the form of the file. */
export const configShown = z.strictObject({
  file: text,
  config: z.record(z.string(), z.unknown()),
});

const labHost = z.strictObject({
  name: text,
  address: text,
  state: z.enum(['up', 'frozen', 'off']),
  holderPid: count.optional(),
  libvirtdPid: count.optional(),
  vms: z.array(z.strictObject({ name: text, state: text })),
  problem: text,
});

/** `lab status`, `lab up` */
export const labStatus = z.strictObject({
  name: text,
  dir: text,
  switchNetns: text,
  hosts: z.array(labHost),
  tookMs: milliseconds.exactOptional(),
});

/** `lab down` */
export const labGone = z.strictObject({ dir: text });

const shortcoming = z.strictObject({ what: text, why: text, remedy: text });

/** `lab check` */
export const labCheck = z.strictObject({
  ok: flag,
  missing: z.array(shortcoming),
  limited: z.array(shortcoming),
});

const certificateFields = {
  role: z.enum(['host', 'client', 'temporal']),
  name: text,
  dns: z.array(text),
  addresses: z.array(text),
  serial: text,
  notBefore: time,
  notAfter: time,
};

const certificateState = { state: z.enum(['valid', 'expired', 'revoked']), replaced: flag };

/** `pki issue` and `pki renew`, with `bundle`; `pki revoke`, with `state` and `replaced`. */
export const certificate = z.strictObject({
  ...certificateFields,
  bundle: text.exactOptional(),
  state: certificateState.state.exactOptional(),
  replaced: flag.exactOptional(),
});

/** `pki list` */
export const certificateList = z.array(
  z.strictObject({ ...certificateFields, ...certificateState }),
);

/** `pki init` */
export const authority = z.strictObject({ caCert: text, caKey: text });

/** `pki install` */
export const installed = z.strictObject({ changed: z.array(text) });
