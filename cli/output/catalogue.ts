/**
 * Everything that `-o json` can print, by the name of its schema in docs/schemas/. Within a major version no field
 * is renamed, removed or given another meaning; new ones may come.
 */
import type { z } from 'zod';
import {
  conversionHost,
  conversionHostList,
  conversionHostRemoved,
  conversionUsage,
} from './conversion-hosts.ts';
import {
  findings,
  hostList,
  hostShown,
  hostState,
  ledgerListing,
  orphanList,
  orphanOutcome,
  versionList,
  vmList,
} from './fleet.ts';
import {
  authority,
  certificate,
  certificateList,
  configCheck,
  configShown,
  error,
  installed,
  labCheck,
  labGone,
  labStatus,
} from './machine.ts';
import {
  foreignLook,
  foreignVms,
  importReport,
  importStatus,
  providerList,
  savedOva,
  v2vForecast,
  v2vOutcome,
} from './imports.ts';
import { accepted, moveList, movePlan, moveReport, moveStatus, started } from './move.ts';
import { ledgerEntry } from './parts.ts';
import { drainPlan, drainReport, placed, undrained } from './placement.ts';
import { importStory, story } from './story.ts';
import type { OutputName } from './names.ts';

/** The schema of each output. */
export const outputs: Readonly<Record<OutputName, z.ZodType>> = {
  report: moveReport,
  status: moveStatus,
  moves: moveList,
  started,
  accepted,
  plan: movePlan,
  placed,
  drain: drainReport,
  'drain-plan': drainPlan,
  undrained,
  story,
  providers: providerList,
  'conversion-hosts': conversionHostList,
  'conversion-host': conversionHost,
  'conversion-host-deleted': conversionHostRemoved,
  'conversion-usage': conversionUsage,
  'foreign-vms': foreignVms,
  'foreign-vm': foreignLook,
  'saved-ova': savedOva,
  v2v: v2vOutcome,
  'v2v-plan': v2vForecast,
  'import-report': importReport,
  'import-status': importStatus,
  'import-story': importStory,
  vms: vmList,
  hosts: hostList,
  host: hostShown,
  'host-state': hostState,
  versions: versionList,
  findings,
  ledger: ledgerListing,
  'ledger-entry': ledgerEntry,
  orphans: orphanList,
  'orphan-outcome': orphanOutcome,
  error,
  'config-check': configCheck,
  'config-shown': configShown,
  'lab-status': labStatus,
  'lab-gone': labGone,
  'lab-check': labCheck,
  authority,
  certificate,
  certificates: certificateList,
  'certificates-installed': installed,
};
