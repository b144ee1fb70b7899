import { ImportPhase } from '../domain/import.ts';
import type { TuneOrder } from './contract.ts';
import { orFault } from './faults.ts';
import type { Import } from './import.ts';
import { tuneTransfer } from './import-upload.ts';
import { activitiesOf, limits } from './on-host.ts';

/** A new cap of an import: for what runs now, and for every later attempt. Gives whether something that runs took it. */
export async function tuneImport(run: Import, order: TuneOrder): Promise<boolean> {
  const { bandwidthBytesPerSecond } = order;
  if (bandwidthBytesPerSecond === undefined) return false;
  const { request } = run.input;
  run.input = { ...run.input, request: { ...request, bandwidthBytesPerSecond } };
  const { phase, parkedIn } = run.record.report;
  const { conversionHost } = request;
  const current = parkedIn ?? phase;
  if (current === ImportPhase.copying) {
    return orFault(conversionHost, 'change its cap', () =>
      activitiesOf(
        conversionHost,
        `${conversionHost}: change the cap of the copy`,
        limits.check,
      ).tuneCache({ ...run.ref, bandwidthBytesPerSecond }),
    );
  }
  return current === ImportPhase.transferring ? tuneTransfer(run) : false;
}
