/** Which verbs of imports a host worker serves: those of a conversion host if its configuration makes it one. */
import { needsOperator } from '../../domain/errors.ts';
import { atBoundary } from '../boundary.ts';
import type { Attempt } from '../boundary.ts';
import type { HostParts } from '../parts.ts';
import { gatedVerbs } from '../gated.ts';
import type { Gate } from '../policy-gate.ts';
import { closeCachedExports, ensureCachedExport, hashCached } from './cached-disk.ts';
import { checkImportTarget } from './check-import-target.ts';
import { clearImport } from './clear-import.ts';
import type { ImportActivities } from './contract.ts';
import { reserveCache } from './cache-room.ts';
import { conversionFacts } from './conversion-facts.ts';
import { defineImport } from './define-import.ts';
import { ensureCached } from './ensure-cached.ts';
import { ensureConverted } from './ensure-converted.ts';
import { restartForeign } from './give-back.ts';
import { dropCache, keepCache } from './keep-cache.ts';
import { checkForeign, inspectForeign, listForeign } from './look.ts';
import type { ImportParts } from './parts.ts';
import { checkRehearsal, rehearse } from './rehearse.ts';
import { ImportThrottles } from './throttles.ts';
import { stopForeign } from './stop-foreign.ts';
import { conversionUsage } from './usage.ts';
import { UploadShares } from './upload-shares.ts';
import { verifyCached } from './verify-cached.ts';
import { verifyForeign } from './verify-foreign.ts';

export interface ImportServices {
  parts: HostParts;
  /** Absent: this host converts nothing, and is a target at most. */
  conversion?: ImportParts;
  gate?: Gate;
}

/** What a conversion host has at work beside its parts. */
interface Served extends ImportParts {
  throttles: ImportThrottles;
  shares: UploadShares;
}

const servedBy = (conversion: ImportParts): Served => ({
  ...conversion,
  throttles: new ImportThrottles(conversion.terms),
  shares: new UploadShares(conversion.terms),
});

type TargetVerb = 'checkImportTarget' | 'defineImport' | 'clearImport';

/** Every verb goes through the boundary; those of the target also through the host's policy. */
export function createImportActivities(services: ImportServices): ImportActivities {
  return { ...targetVerbs(services), ...conversionVerbs(services) };
}

function targetVerbs({ parts, gate }: ImportServices): Pick<ImportActivities, TargetVerb> {
  const verb = gatedVerbs(parts, gate);
  return {
    checkImportTarget: verb('checkImportTarget', (input) => checkImportTarget(parts, input)),
    defineImport: verb('defineImport', (input, { signal }) => defineImport(parts, input, signal)),
    clearImport: verb('clearImport', (input, { signal }) => clearImport(parts, input, signal)),
  };
}

function conversionVerbs({
  parts,
  conversion,
}: ImportServices): Omit<ImportActivities, TargetVerb> {
  const served = conversion === undefined ? undefined : servedBy(conversion);
  const verb =
    <I, O>(name: string, run: (own: Served, input: I, attempt: Attempt) => Promise<O>) =>
    (input: I): Promise<O> =>
      atBoundary({ host: parts.name, verb: name }, (attempt) => {
        if (served === undefined) throw noConversionHost(parts.name);
        return run(served, input, attempt);
      });
  return {
    applyConversion: verb('applyConversion', ({ terms }, input) => terms.apply(input)),
    reserveCache: verb('reserveCache', (own, input, { signal }) =>
      reserveCache(own, input, { signal }),
    ),
    uploadShare: verb('uploadShare', ({ shares }, input, { signal }) =>
      shares.of(input, signal).then((bytesPerSecond) => ({ bytesPerSecond })),
    ),
    conversionFacts: () =>
      verb('conversionFacts', (own, _: undefined, { signal }) => conversionFacts(own, signal))(
        undefined,
      ),
    conversionUsage: verb('conversionUsage', (own, input) => conversionUsage(own, input)),
    listForeign: verb('listForeign', (own, input, { signal }) => listForeign(own, input, signal)),
    inspectForeign: verb('inspectForeign', (own, input, { signal }) =>
      inspectForeign(own, input, signal),
    ),
    checkForeign: verb('checkForeign', (own, input, { signal }) =>
      checkForeign(own, input, signal),
    ),
    stopForeign: verb('stopForeign', (own, input, { signal }) => stopForeign(own, input, signal)),
    ensureCached: verb('ensureCached', (own, input, attempt) =>
      own.throttles.during(input, (throttle) => ensureCached(own, input, { ...attempt, throttle })),
    ),
    tuneCache: verb('tuneCache', ({ throttles }, { migrationId, bandwidthBytesPerSecond }) =>
      Promise.resolve(throttles.change(migrationId, bandwidthBytesPerSecond)),
    ),
    verifyForeign: verb('verifyForeign', (own, input, { signal }) =>
      verifyForeign(own, input, signal),
    ),
    verifyCached: verb('verifyCached', (own, input, attempt) => verifyCached(own, input, attempt)),
    ensureConverted: verb('ensureConverted', (own, input, attempt) =>
      ensureConverted(own, input, attempt),
    ),
    checkRehearsal: verb('checkRehearsal', (own, input) => checkRehearsal(own, input)),
    rehearse: verb('rehearse', (own, input, { signal }) => rehearse(own, input, signal)),
    ensureCachedExport: verb('ensureCachedExport', (own, input) => ensureCachedExport(own, input)),
    hashCached: verb('hashCached', (own, input, attempt) => hashCached(own, input, attempt)),
    closeCachedExports: verb('closeCachedExports', (own, input) => {
      own.shares.leave(input.migrationId);
      return closeCachedExports(own, input);
    }),
    keepCache: verb('keepCache', (own, input, { signal }) => keepCache(own, input, signal)),
    dropCache: verb('dropCache', (own, input, { signal }) => dropCache(own, input, signal)),
    restartForeign: verb('restartForeign', (own, input, { signal }) =>
      restartForeign(own, input, signal),
    ),
  };
}

const noConversionHost = (host: string) =>
  needsOperator({
    code: 'no-conversion-host',
    message: `${host} is no conversion host: its configuration names no provider`,
    remedy:
      'Add one to `host.providers` there, restart its worker, then `vmferry retry`; or name another host.',
    host,
  });
