/** What makes a host worker a conversion host: its providers, its cache, and the upkeep of that. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConversionTermsInForce } from '../activities/import/conversion-terms.ts';
import { expireCaches } from '../activities/import/keep-cache.ts';
import type { CacheUpkeep } from '../activities/import/keep-cache.ts';
import { packCaches } from '../activities/import/pack-caches.ts';
import { lookAtDisks } from '../activities/import/usage.ts';
import type { ImportParts } from '../activities/import/parts.ts';
import type { HostParts } from '../activities/parts.ts';
import { Turns } from '../activities/turns.ts';
import type { HostConfig } from '../config/schema.ts';
import { resolveReference } from '../config/secrets.ts';
import { needsOperator } from '../domain/errors.ts';
import type { ServerIdentity } from '../domain/orphans.ts';
import { LibvirtRehearsals } from '../platforms/libvirt/rehearsal.ts';
import { ownAddressIn } from './own-address.ts';
import { ConfiguredProviders } from './providers.ts';

/** Undefined where the configuration names no provider: then nothing is imported through this host. */
export function importParts(
  parts: HostParts,
  config: HostConfig,
  server: () => ServerIdentity,
): ImportParts | undefined {
  const { name, stateDir, libvirt, providers, conversion } = config;
  if (Object.keys(providers).length === 0) return undefined;
  const { cacheDir = join(stateDir, 'import-cache'), parallel, virtioWin, program } = conversion;
  const { up: upBytesPerSecond, down: downBytesPerSecond } = conversion.limits;
  const configured = { upBytesPerSecond, downBytesPerSecond, parallel };
  const { network } = conversion;
  const own = network === undefined ? {} : { address: () => ownAddressIn(network, { host: name }) };
  const turns = new Turns(parallel);
  const terms = new ConversionTermsInForce(stateDir, configured);
  terms.onChange((now) => turns.resize(now.parallel));
  return {
    host: parts,
    providers: new ConfiguredProviders({
      ...{ host: name, providers, scratchDir: cacheDir },
      ...own,
    }),
    conversion: {
      cacheDir,
      ...own,
      cacheSeconds: conversion.cacheSeconds,
      ...(virtioWin === undefined ? {} : { virtioWin }),
      ...(program === undefined ? {} : { program }),
      secret: (reference) => secretOf(config, reference),
    },
    terms,
    turns,
    server,
    rehearsals: {
      host: new LibvirtRehearsals({ name, socketPath: libvirt.socket, uri: libvirt.uri }),
      checks: conversion.rehearsalChecks,
    },
  };
}

/** Only what the configuration names is ever fetched: an import's words name a secret, not a place. */
async function secretOf({ name, conversion }: HostConfig, wanted: string): Promise<Uint8Array> {
  const { secrets } = conversion;
  const reference = Object.hasOwn(secrets, wanted) ? secrets[wanted] : undefined;
  if (reference !== undefined) return resolveReference(reference);
  throw needsOperator({
    code: 'secret-unknown',
    message: `the configuration of ${name} names no secret ${JSON.stringify(wanted.slice(0, 100))}`,
    remedy: 'Add it to `host.conversion.secrets` there, restart its worker, then `vmferry retry`.',
    host: name,
  });
}

const everyMs = 5 * 60_000;
const lookEveryMs = 60_000;

/** Looks after the caches, and at the disks, until `signal` fires; what goes wrong is logged, and the next look tries again. */
export async function keepCaches(
  parts: Pick<ImportParts, 'providers' | 'host' | 'conversion' | 'terms' | 'turns' | 'rehearsals'>,
  upkeep: CacheUpkeep,
): Promise<void> {
  const { signal, log } = upkeep;
  // As the worker before this one was told.
  parts.turns.resize((await parts.terms.inForce()).parallel);
  const each = async (ms: number, what: string, act: () => Promise<void>): Promise<void> => {
    while (!signal.aborted) {
      await act().catch((error: unknown) => {
        if (!signal.aborted) log('warn', { error }, `could not ${what}`);
      });
      await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
    }
  };
  await Promise.all([
    each(everyMs, 'look after the import cache', () => expireCaches(parts, upkeep)),
    each(everyMs, 'compress what the import cache keeps', () => packCaches(parts, upkeep)),
    each(lookEveryMs, 'look how full the disks are', () => lookAtDisks(parts)),
  ]);
}
