/**
 * An NFS export as a mount, where the kernel has no client for it: libnfs, which QEMU uses, behind libfuse. As much of a
 * file system as libvirt's pools and QEMU ask for. Run as a process: SERVER EXPORT FOLDER; it ends with the mount.
 */
import koffi from 'koffi';

const [server = '', exported = '', folder = ''] = process.argv.slice(2);
const nfs = koffi.load('libnfs.so.13');
const fuse = koffi.load('libfuse3.so.3');

const context = nfs.func('void *nfs_init_context()')() as unknown;
const call = (name: string, parameters: string) =>
  nfs.func(`int ${name}(void *nfs${parameters})`) as (...all: unknown[]) => number;
const byHandle = new Map<number, unknown>();
let lastHandle = 0;

const mounted = call('nfs_mount', ', const char *server, const char *path')(
  context,
  server,
  exported,
);
if (mounted !== 0) throw new Error(`${server}:${exported} cannot be mounted: ${mounted}`);

const on = {
  stat: call('nfs_lstat64', ', const char *path, void *stat'),
  open: call('nfs_open', ', const char *path, int flags, _Out_ void **fh'),
  create: call('nfs_creat', ', const char *path, int mode, _Out_ void **fh'),
  close: call('nfs_close', ', void *fh'),
  read: call('nfs_pread', ', void *fh, uint64_t offset, uint64_t count, void *buffer'),
  write: call('nfs_pwrite', ', void *fh, uint64_t offset, uint64_t count, void *buffer'),
  sync: call('nfs_fsync', ', void *fh'),
  unlink: call('nfs_unlink', ', const char *path'),
  truncate: call('nfs_truncate', ', const char *path, uint64_t length'),
  rename: call('nfs_rename', ', const char *from, const char *to'),
  chmod: call('nfs_chmod', ', const char *path, int mode'),
  chown: call('nfs_chown', ', const char *path, int uid, int gid'),
  room: call('nfs_statvfs', ', const char *path, void *room'),
  openFolder: call('nfs_opendir', ', const char *path, _Out_ void **folder'),
};
const nextEntry = nfs.func('void *nfs_readdir(void *nfs, void *folder)');
const closeFolder = nfs.func('void nfs_closedir(void *nfs, void *folder)');

type Pointer = object;
/** What libfuse wants: 0, a count, or a negative error. */
type Operation = (...all: never[]) => number;
const [noSuchFile, badHandle] = [-2, -9];

/** struct nfs_stat_64, all of uint64_t, into struct stat of x86-64. */
function stat(path: string, out: Pointer): number {
  const told = Buffer.alloc(256);
  const result = on.stat(context, path, told);
  if (result < 0) return result;
  const at = (place: number): bigint => told.readBigUInt64LE(place * 8);
  const [inode, mode, links, uid, gid] = [at(1), at(2), at(3), at(4), at(5)];
  const [size, blocks, times] = [at(7), at(9), [at(10), at(11), at(12)]];
  const made = Buffer.alloc(144);
  for (const [offset, value] of [
    ...([
      [8, inode],
      [16, links],
      [48, size],
      [56, 4096n],
      [64, blocks],
    ] as const),
    ...times.map((time, nth) => [72 + nth * 16, time] as const),
  ])
    made.writeBigUInt64LE(value, offset);
  for (const [offset, value] of [
    [24, mode],
    [28, uid],
    [32, gid],
  ] as const)
    made.writeUInt32LE(Number(value), offset);
  koffi.encode(out, koffi.array('uint8_t', made.length), made);
  return 0;
}

/** In `struct fuse_file_info` the handle stands behind flags and bits. */
const handleOffset = 16;

function keep(result: number, opened: unknown[], info: Pointer): number {
  if (result < 0) return result;
  lastHandle += 1;
  byHandle.set(lastHandle, opened[0]);
  koffi.encode(info, handleOffset, 'uint64_t', lastHandle);
  return 0;
}

const handleIn = (info: Pointer): number => Number(koffi.decode(info, handleOffset, 'uint64_t'));

function within(info: Pointer, act: (file: unknown) => number): number {
  const file = byHandle.get(handleIn(info));
  return file === undefined ? badHandle : act(file);
}

const filler = koffi.proto(
  'int fill(void *buffer, const char *name, void *stat, int64_t offset, int flags)',
);
const dirent = koffi.struct('nfsdirent', { next: 'void *', name: 'const char *' });
const accessMode = 3;

/* eslint max-params: ['error', 5] -- reads and writes of libfuse have five */
/** By their places in libfuse's `struct fuse_operations`; what is left out is ENOSYS. */
const operations: Readonly<Record<string, readonly [string, Operation]>> = {
  getattr: ['const char *path, void *stat, void *info', stat],
  unlink: ['const char *path', (path: string) => on.unlink(context, path)],
  rename: [
    'const char *from, const char *to, unsigned int flags',
    (from: string, to: string) => on.rename(context, from, to),
  ],
  chmod: [
    'const char *path, unsigned int mode, void *info',
    (path: string, mode: number) => on.chmod(context, path, mode & 0o7777),
  ],
  chown: [
    'const char *path, unsigned int uid, unsigned int gid, void *info',
    (path: string, uid: number, gid: number) => on.chown(context, path, uid | 0, gid | 0),
  ],
  truncate: [
    'const char *path, int64_t length, void *info',
    (path: string, length: number) => on.truncate(context, path, length),
  ],
  open: [
    'const char *path, void *info',
    (path: string, info: Pointer) => {
      const opened: unknown[] = [null];
      const flags = koffi.decode(info, 'int') as number;
      return keep(on.open(context, path, flags & accessMode, opened), opened, info);
    },
  ],
  read: [
    'const char *path, void *buffer, size_t count, int64_t offset, void *info',
    (_: string, buffer: Pointer, count: number, offset: number, info: Pointer) =>
      within(info, (file) => on.read(context, file, offset, count, buffer)),
  ],
  write: [
    'const char *path, void *buffer, size_t count, int64_t offset, void *info',
    (_: string, buffer: Pointer, count: number, offset: number, info: Pointer) =>
      within(info, (file) => on.write(context, file, offset, count, buffer)),
  ],
  statfs: [
    'const char *path, void *room',
    (path: string, room: Pointer) => on.room(context, path, room),
  ],
  release: [
    'const char *path, void *info',
    (_: string, info: Pointer) =>
      within(info, (file) => {
        byHandle.delete(handleIn(info));
        return on.close(context, file);
      }),
  ],
  fsync: [
    'const char *path, int dataOnly, void *info',
    (_: string, __: number, info: Pointer) => within(info, (file) => on.sync(context, file)),
  ],
  readdir: [
    'const char *path, void *buffer, void *fill, int64_t offset, void *info, int flags',
    (path: string, buffer: Pointer, fill: Pointer) => {
      const opened: unknown[] = [null];
      if (on.openFolder(context, path, opened) < 0) return noSuchFile;
      const add = koffi.decode(fill, filler) as (...all: unknown[]) => number;
      for (;;) {
        const entry = nextEntry(context, opened[0]) as Pointer | null;
        if (entry === null) break;
        add(buffer, (koffi.decode(entry, dirent) as { name: string }).name, null, 0, 0);
      }
      closeFolder(context, opened[0]);
      return 0;
    },
  ],
  create: [
    'const char *path, unsigned int mode, void *info',
    (path: string, mode: number, info: Pointer) => {
      const opened: unknown[] = [null];
      return keep(on.create(context, path, mode & 0o7777, opened), opened, info);
    },
  ],
};

const places = [
  ...['getattr', 'readlink', 'mknod', 'mkdir', 'unlink', 'rmdir', 'symlink', 'rename', 'link'],
  ...['chmod', 'chown', 'truncate', 'open', 'read', 'write', 'statfs', 'flush', 'release', 'fsync'],
  ...['setxattr', 'getxattr', 'listxattr', 'removexattr', 'opendir', 'readdir', 'releasedir'],
  ...['fsyncdir', 'init', 'destroy', 'access', 'create'],
];
const all = koffi.struct(
  'fuse_operations',
  Object.fromEntries(places.map((name) => [name, 'void *'])),
);
const made = places.flatMap((name): [string, unknown][] => {
  const operation = operations[name];
  if (operation === undefined) return [];
  const type = koffi.pointer(koffi.proto(`int on_${name}(${operation[0]})`));
  return [[name, koffi.register(operation[1], type)]];
});

const main = fuse.func(
  'int fuse_main_real(int argc, const char **argv, fuse_operations *operations, size_t size, void *data)',
) as (...any: unknown[]) => number;
// As the mount of an NFS export is shown: libvirt takes it for the one of its pool.
const options = `fsname=${server}:${exported},allow_other,default_permissions`;
const args = ['nfs-mount', '-f', '-s', '-o', options, folder];
const none = places.map((name): [string, unknown] => [name, null]);
const table = Object.fromEntries([...none, ...made]);
process.exitCode = main(args.length, args, table, koffi.sizeof(all), null);
