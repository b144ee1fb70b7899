/** The kinds of values that several sections of the configuration have. */
import { z } from 'zod';
import { byteRateForm, tryParseByteRate } from './units.ts';

/** What a value has to be, as the message of an error. */
export const says = (expected: string) => ({ error: () => `expected ${expected}` });

export const nameForm = '1 to 64 of A-Z a-z 0-9 . _ -';
/** A name of ours: in IDs, queues and files. */
export const name = (what: string) =>
  z
    .string(says(what))
    .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/, says(`${what}: ${nameForm}`));

/** From the root on. */
export const absolutePath = z
  .string(says('an absolute path'))
  .regex(/^\/[^\0]*$/, says('an absolute path'));

const referenceForm = 'a reference to a secret: env:NAME, file:/PATH or exec:/PROGRAM ARGUMENTS';
/** Where a secret is to be had; the secret itself has no place in the file. */
export const reference = z
  .string(says(referenceForm))
  .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/[^\0\n]+|exec:\/[^\0\n]+)$/, says(referenceForm));

/** A server by name or IP address, with its port. */
export const address = z
  .string(says('HOST:PORT'))
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/, says('HOST:PORT'))
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, says('HOST:PORT'));

/** In bytes a second; 0 is no limit. */
export const byteRate = z
  .union([z.literal(0), z.string()], says(byteRateForm))
  .transform((value, context) => {
    const parsed = value === 0 ? 0 : tryParseByteRate(value);
    if (parsed !== undefined) return parsed;
    context.issues.push({ code: 'custom', message: `expected ${byteRateForm}`, input: value });
    return z.NEVER;
  });
