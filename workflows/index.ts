/** What the control worker registers: each export is a workflow type of `contract.ts`. */
export { host } from './host.ts';
export { migrateVm } from './migrate-vm.ts';
export { inspectHost, inspectVm, listVms } from './read-hosts.ts';
