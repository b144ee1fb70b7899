/**
 * Which certificates an export was started with. qemu-nbd reads them once; an export that outlives a renewal would
 * refuse its client as soon as the old certificate ends, or go on to admit one that was revoked meanwhile.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serverTlsFiles } from '../platforms/libvirt/export-tls.ts';

export class ExportTrust {
  readonly #folder: string;
  readonly #tlsDir: string;

  constructor({ stateDir, tlsDir }: { stateDir: string; tlsDir: string }) {
    this.#folder = join(stateDir, 'export-trust');
    this.#tlsDir = tlsDir;
  }

  /** What the files are now, in one word; a file that cannot be read counts as none: qemu-nbd says what it lacks. */
  async now(): Promise<string> {
    const hash = createHash('sha256');
    for (const name of serverTlsFiles) {
      const bytes = await readFile(join(this.#tlsDir, name)).catch(() => Buffer.alloc(0));
      hash.update(`${name} ${bytes.length}\n`).update(bytes);
    }
    return hash.digest('hex');
  }

  /** Whether an export of this disk was started with other files than `now`. */
  async isStale(moveId: string, disk: string, now: string): Promise<boolean> {
    const then = await readFile(this.#path(moveId, disk), 'utf8').catch(() => undefined);
    return then !== undefined && then !== now;
  }

  /** Said before the export is started: should the worker die in between, the next one starts it once more, no worse. */
  async remember(moveId: string, disk: string, now: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFile(this.#path(moveId, disk), now, { mode: 0o600 });
  }

  async forgetAll(moveId: string): Promise<void> {
    const names = await readdir(this.#folder).catch(() => []);
    const own = names.filter((name) => name.startsWith(`${fileName(moveId)}:`));
    await Promise.all(own.map((name) => rm(join(this.#folder, name), { force: true })));
  }

  #path(moveId: string, disk: string): string {
    return join(this.#folder, `${fileName(moveId)}:${fileName(disk)}`);
  }
}

const fileName = (text: string): string => encodeURIComponent(text).replaceAll('.', '%2E');
