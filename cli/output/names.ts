/** Which command prints what, without loading the schemas: help needs only the names. */

/** Names of docs/schemas/NAME.json. */
export type OutputName =
  | 'report'
  | 'status'
  | 'moves'
  | 'started'
  | 'accepted'
  | 'plan'
  | 'story'
  | 'vms'
  | 'hosts'
  | 'versions'
  | 'findings'
  | 'ledger'
  | 'ledger-entry'
  | 'orphans'
  | 'orphan-outcome'
  | 'error'
  | 'config-check'
  | 'config-shown'
  | 'lab-status'
  | 'lab-gone'
  | 'lab-check'
  | 'authority'
  | 'certificate'
  | 'certificates'
  | 'certificates-installed';
