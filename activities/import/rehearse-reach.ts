/** The cache is for the worker's eyes; for a rehearsal QEMU's user gets through to the images, and to nothing else. */
import { chmod, chown, lstat, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { needsOperator } from '../../domain/errors.ts';

export interface Reach {
  /** Whom QEMU runs as. */
  emulator: { uid: number; gid: number };
  /** Folders of ours: they and what lies below may be opened a crack. */
  own: readonly string[];
  host: string;
}

/**
 * Lets QEMU's user through all folders above `path`: those of ours get the bit for passing, which shows nothing of what
 * is in them. libvirt itself gives the images to that user. Throws `rehearsal-folder-closed`.
 */
export async function letThrough(folder: string, { emulator, own, host }: Reach): Promise<void> {
  if (emulator.uid === 0) return;
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    const { mode, uid, gid } = await stat(at);
    const bit = uid === emulator.uid ? 0o100 : gid === emulator.gid ? 0o010 : 0o001;
    if ((mode & bit) !== 0) continue;
    if (!own.some((one) => at === one || at.startsWith(`${one}/`)))
      throw closed(at, { emulator, host });
    await chmod(at, (mode & 0o777) | bit);
  }
}

/** What libvirt gave to QEMU's user is the worker's again: it gives back only what was written to. */
export async function takeBack(paths: readonly string[]): Promise<void> {
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  for (const path of paths) {
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile() !== true || (found.uid === uid && found.gid === gid)) continue;
    await chown(path, uid, gid);
  }
}

const closed = (folder: string, { emulator, host }: Pick<Reach, 'emulator' | 'host'>) =>
  needsOperator({
    code: 'rehearsal-folder-closed',
    message: `QEMU on ${host} runs as user ${emulator.uid}, which may not pass through ${folder} to the import cache`,
    remedy: `Let it pass (\`chmod o+x ${folder}\`), or name another \`host.conversion.cacheDir\`; then \`vmferry retry\`.`,
    host,
  });
