/** A disk's whole way from one host's storage to another's: export over TLS, copy with its journal, hashes of both. */
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LocalDisk } from '../../../activities/parts.ts';
import { configSchema } from '../../../config/schema.ts';
import type { ReadSecret } from '../../../platforms/libvirt/served-image.ts';
import { copyDisk } from '../../../transfer/copy.ts';
import { hashDisk } from '../../../transfer/hash-tree.ts';
import { Journal } from '../../../transfer/journal.ts';
import { NbdDataPlane } from '../../../workers/data-plane.ts';
import { makePki } from '../platforms/pki.ts';
import type { Pki } from '../platforms/pki.ts';

export const mib = 1024 * 1024;
/** An export is known by its name on all of the machine: two runs at a time must not end each other's. */
const migrationId = `move-storage-${process.pid}`;
const never = new AbortController().signal;

/** More of a copy than from where to where. */
export interface CopyWish {
  layer?: boolean;
  /** A second copy of one name goes on where the first one's journal ended. */
  name?: string;
  throttle?: { take: (bytes: number) => Promise<void> };
}

/** Two hosts, alpha to read and beta to write, on loopback; secrets come from `readSecret`. */
export class CopyPath {
  readonly dir: string;
  readonly #alpha: NbdDataPlane;
  readonly #beta: NbdDataPlane;
  #count = 0;

  private constructor(dir: string, pki: Pki, readSecret: ReadSecret | undefined) {
    this.dir = dir;
    const plane = (name: string): NbdDataPlane => {
      const first = 26_100 + (process.pid % 500) * 8;
      const { host } = configSchema.parse({
        host: {
          name,
          stateDir: join(dir, name),
          migrationAddress: '127.0.0.1',
          exportPorts: `${first}-${first + 7}`,
          tls: { dir: pki.dirOf(name) },
        },
      });
      if (host === undefined) throw new Error('no section `host`');
      return new NbdDataPlane(host, readSecret);
    };
    this.#alpha = plane('alpha');
    this.#beta = plane('beta');
  }

  static async open(readSecret?: ReadSecret): Promise<CopyPath> {
    // Direct reads and writes need a real file system, unlike many a /tmp.
    const dir = await mkdtemp('/var/tmp/vmferry-storage-');
    return new CopyPath(dir, await makePki(join(dir, 'pki'), ['alpha', 'beta']), readSecret);
  }

  async close(): Promise<void> {
    await this.#alpha.closeExports(migrationId);
    await rm(this.dir, { recursive: true, force: true });
  }

  path = (name: string): string => join(this.dir, name);

  /** A raw file with data in odd places, much of it a hole, and data up to its very last byte. */
  async original(name: string, sizeBytes: number): Promise<LocalDisk> {
    const path = this.path(name);
    await writeFile(path, '');
    await truncate(path, sizeBytes);
    const file = await open(path, 'r+');
    const block = randomFillSync(Buffer.alloc(mib));
    for (const at of [0, 3 * mib + 512, Math.floor(sizeBytes / 2), sizeBytes - mib]) {
      await file.write(block, 0, block.length, at);
    }
    await file.sync();
    await file.close();
    return { path, format: 'raw' };
  }

  /** Copies and compares; `layer`: only what the image itself holds, onto one whose lower ones are whole. Gives the root of the hashes, which are those of both sides, and what had to cross. */
  async copy(
    from: LocalDisk,
    to: LocalDisk,
    sizeBytes: number,
    { layer = false, name = `disk${(this.#count += 1)}`, throttle }: CopyWish = {},
  ): Promise<{ root: string; bytesCopied: number; startsZeroed: boolean }> {
    const ownOnly = layer;
    const wanted = { migrationId, name, ...from, target: 'beta', ownOnly };
    const endpoint = await this.#alpha.ensureExport(wanted);
    let bytesCopied: number;
    let startsZeroed: boolean;
    {
      await using closing = new AsyncDisposableStack();
      const source = await this.#beta.openRemote(endpoint, { signal: never, ownOnly });
      closing.defer(() => source.close());
      const sink = await this.#beta.openSink({
        ...{ ...to, sizeBytes, signal: never, liesOnOther: layer },
      });
      closing.defer(() => sink.close());
      ({ startsZeroed } = sink);
      const journal = await Journal.open({
        path: this.path(`${name}.journal`),
        header: {
          moveId: migrationId,
          diskName: name,
          sizeBytes,
          fingerprint: 'f',
          chunkBytes: mib,
        },
        targetStartsZeroed: startsZeroed,
      });
      closing.defer(() => journal.close());
      ({ bytesCopied } = await copyDisk({
        ...{ source, sink, journal },
        ...(throttle === undefined ? {} : { throttle }),
      }));
    }
    await this.#alpha.closeExports(migrationId);
    const [source, target] = [await this.hash(from, sizeBytes), await this.hash(to, sizeBytes)];
    if (source !== target) throw new Error(`${from.path} and ${to.path} differ`);
    return { root: target, bytesCopied, startsZeroed };
  }

  /** Shows an image plainly and asks for what it alone holds; to see that refused. */
  async openWithoutDepth(from: LocalDisk): Promise<void> {
    const name = `disk${(this.#count += 1)}`;
    const endpoint = await this.#alpha.ensureExport({ migrationId, name, ...from, target: 'beta' });
    const source = await this.#beta.openRemote(endpoint, { signal: never, ownOnly: true });
    await source.close();
  }

  /** Root of the hashes over the first `sizeBytes`, read past the page cache. */
  async hash(disk: LocalDisk, sizeBytes: number): Promise<string> {
    const source = await this.#beta.openLocal({ ...disk, signal: never });
    try {
      return (await hashDisk({ source, sizeBytes })).root;
    } finally {
      await source.close();
    }
  }
}
