/** How long certificates on this machine are still good; for `vmferry doctor` and whoever else asks. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** From here on it is time to renew. */
export const warnDays = 30;
const dayMs = 86_400_000;

export interface CertificateHealth {
  path: string;
  /** `unreadable`: missing, no permission, or no certificate. */
  state: 'good' | 'ends-soon' | 'expired' | 'not-yet-valid' | 'unreadable';
  /** In words, with the day. */
  detail: string;
  /** Whole days until its end, negative after; absent if unreadable. */
  daysLeft?: number;
}

/** Looks at each file's first certificate. Does not throw. */
export async function examineCertificates(
  paths: readonly string[],
  now = new Date(),
): Promise<CertificateHealth[]> {
  return Promise.all([...new Set(paths)].map(async (path) => examineOne(path, now)));
}

async function examineOne(path: string, now: Date): Promise<CertificateHealth> {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(await readFile(path));
  } catch (error) {
    const detail = `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    return { path, state: 'unreadable', detail };
  }
  const until = new Date(certificate.validTo);
  const since = new Date(certificate.validFrom);
  const daysLeft = Math.floor((until.getTime() - now.getTime()) / dayMs);
  const day = (date: Date): string => date.toISOString().slice(0, 10);
  if (until.getTime() <= now.getTime())
    return { path, state: 'expired', detail: `${path} has expired on ${day(until)}`, daysLeft };
  if (since.getTime() > now.getTime()) {
    const detail = `${path} is valid only from ${since.toISOString()}`;
    return { path, state: 'not-yet-valid', detail, daysLeft };
  }
  const state = daysLeft < warnDays ? 'ends-soon' : 'good';
  const left = daysLeft === 1 ? '1 day' : `${daysLeft} days`;
  return { path, state, detail: `${path} is good for ${left} more, until ${day(until)}`, daysLeft };
}
