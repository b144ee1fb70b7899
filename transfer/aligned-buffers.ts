/** The one piece of WebAssembly that is used here; its types come with the DOM, which Node code does not load. */
declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum: number; shared: true }) => {
    readonly buffer: SharedArrayBuffer;
  };
};

const pageBytes = 64 * 1024;
const known = new WeakSet<ArrayBufferLike>();

/** What O_DIRECT asks of offsets, lengths and addresses on any disk in use. */
const directIoBytes = 4096;

/**
 * Makes `count` buffers of `length` bytes whose addresses are aligned to pages. Node's own buffers are not;
 * the memory of WebAssembly is. They are shared, so that other threads can fill and hash them in place. Make them once
 * and reuse them: fresh memory costs page faults.
 */
export const makeAlignedBuffers = (
  count: number,
  length: number,
): Uint8Array<SharedArrayBuffer>[] => {
  const stride = Math.ceil(length / pageBytes) * pageBytes;
  const pages = Math.max(1, (stride * count) / pageBytes);
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  known.add(buffer);
  return Array.from(
    { length: count },
    (_, index) => new Uint8Array(buffer, index * stride, length),
  );
};

/** Whether the bytes may go to `offset` of a file that was opened with O_DIRECT. */
export const fitsDirectIo = (offset: number, data: Uint8Array): boolean =>
  known.has(data.buffer) &&
  data.byteOffset % directIoBytes === 0 &&
  data.length % directIoBytes === 0 &&
  offset % directIoBytes === 0;

/** Whether other threads can work on the bytes where they lie. */
export const isShared = (bytes: Uint8Array): bytes is Uint8Array<SharedArrayBuffer> =>
  bytes.buffer instanceof SharedArrayBuffer;
