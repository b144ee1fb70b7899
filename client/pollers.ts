/** A worker polls at least this often (Temporal's long poll is 60 s); one that did not is called offline. */
const pollerGoneMs = 75_000;

/** Whether one of the pollers that Temporal tells of a task queue has polled in the last minute or so. */
export const hasPolledLately = ({
  lastAccessTime,
}: {
  lastAccessTime?: { seconds?: { toString(): string } | null } | null;
}): boolean => Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1000 < pollerGoneMs;
