/** What the control worker registers: each export is a workflow type of `contract.ts`. */
export { dryRun } from './dry-run.ts';
export { drain } from './drain.ts';
export { host } from './host.ts';
export { forecastImport } from './import-forecast.ts';
export { importVm } from './import-vm.ts';
export { migrateVm } from './migrate-vm.ts';
export { listOrphans, settleOrphan } from './orphans.ts';
export { place } from './place.ts';
export {
  conversionFacts,
  conversionUsage,
  dropCache,
  inspectForeign,
  listForeign,
} from './read-foreign.ts';
export { findVm, inspectHost, inspectVm, listVms } from './read-hosts.ts';
