/** The one piece of WebAssembly that is used here; its types come with the DOM, which Node code does not load. */
declare const WebAssembly: {
  Memory: new (pages: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

const pageBytes = 64 * 1024;
const known = new WeakSet<ArrayBufferLike>();

/** What O_DIRECT asks of offsets, lengths and addresses on any disk in use. */
const directIoBytes = 4096;

/**
 * Makes `count` buffers of `length` bytes whose addresses are aligned to pages. Node's own buffers are not;
 * the memory of WebAssembly is. Make them once and reuse them: fresh memory costs page faults.
 */
export const makeAlignedBuffers = (count: number, length: number): Uint8Array<ArrayBuffer>[] => {
  const stride = Math.ceil(length / pageBytes) * pageBytes;
  const pages = Math.max(1, (stride * count) / pageBytes);
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
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
