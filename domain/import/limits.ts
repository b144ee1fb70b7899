/** Limits of imports that the checks, the plan and people have to agree on. */

/** The field's own limit for drives that are kept; `convert/target-shape.ts` cuts there. */
export const maxCdroms = 3;
/** Disks and drives together on the one controller of the old machine. */
export const idePlaces = 4;
/** VMs in one request; more belong into a plan. */
export const maxBatch = 50;
/** What a conversion host should have: the field's figures. */
export const conversionMinimum = {
  cpus: 8,
  memoryBytes: 16 * 1024 ** 3,
  cacheBytes: 50 * 1024 ** 3,
} as const;
/** Firmware, kernel and graphics keep some of it: a machine sold with 16 GiB shows a little less. */
export const memoryShareShown = 0.9;
/** What stays free in a pool or a cache beyond the disks, as in the checks of a move: journals, file system. */
export const marginBytes = 64 * 1024 ** 2;
