/** What a live move may take, in the units of libvirt. */

const mebibyte = 1024 * 1024;
/** libvirt's own word for no limit, MiB/s. */
const unlimited = 8_796_093_022_207;

/** A cap as libvirt counts: whole MiB/s, rounded down, but never to nothing. */
export const mebibytesOf = (bytesPerSecond: number): number =>
  bytesPerSecond === 0 ? unlimited : Math.max(1, Math.floor(bytesPerSecond / mebibyte));
