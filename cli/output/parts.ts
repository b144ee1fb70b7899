/** What several outputs have in common. */
import { z } from 'zod';
import type { Concern } from '../../domain/concerns.ts';
import type { Fault } from '../../domain/errors.ts';
import { Handling } from '../../domain/errors.ts';
import { OwnerState } from '../../domain/ownership.ts';
import type { LedgerEntry } from '../../domain/ownership.ts';

/** `2026-03-04T10:00:00.000Z` */
export const time = z.iso.datetime().meta({ id: 'time', description: 'ISO 8601, UTC.' });
export const bytes = z.number().int().min(0).meta({ description: 'Bytes.' });
export const count = z.number().int().min(0);
export const milliseconds = z.number().min(0).meta({ description: 'Milliseconds.' });
export const text = z.string();
export const flag = z.boolean();

/** A schema for each field of `T`, the optional ones included: a field without one does not compile. */
export type ShapeOf<T> = { [K in keyof T]-?: z.ZodType };

/** Name and UUID of a VM. */
export const vm = z.strictObject({ name: text, uuid: text });

/** An error that a person can act on. */
export const fault: z.ZodType<Fault> = z
  .strictObject({
    code: text.meta({ description: 'Stable, kebab-case.', examples: ['target-disk-full'] }),
    handling: z.enum(Object.values(Handling)),
    message: text.meta({ description: 'What failed, for people; its words may change.' }),
    remedy: text.meta({ description: 'What to do next.' }),
    host: text.exactOptional(),
  } satisfies ShapeOf<Fault>)
  .meta({ id: 'fault' });

/** What the checks have to say. */
export const concern: z.ZodType<Concern> = z
  .strictObject({
    code: text.meta({ description: 'Stable, kebab-case.' }),
    level: z.enum(['critical', 'warning', 'information']),
    message: text,
    remedy: text,
    host: text.exactOptional(),
  } satisfies ShapeOf<Concern>)
  .meta({ id: 'concern' });

/** One VM in the ledger of a host. */
export const ledgerEntry: z.ZodType<LedgerEntry> = z.strictObject({
  uuid: text,
  name: text,
  epoch: count.meta({ description: 'Grows by one with each change of owner.' }),
  state: z.enum(Object.values(OwnerState)),
  migrationId: text,
  note: text,
  disks: z.array(z.strictObject({ path: text, identity: text })),
} satisfies ShapeOf<LedgerEntry>);

/** Hosts that did not answer: the list has holes, and the exit code is 1. */
export const unreachable = z.array(z.strictObject({ host: text, reason: text }));
