import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExportEndpoint } from '../activities/contract.ts';
import { Lab } from '../lab/lab.ts';
import type { LabHost } from '../lab/host.ts';
import { waitUntil } from '../lab/wait.ts';
import type { BenchContext } from './benchmark.ts';
import { DataPlaneClient } from './data-plane-client.ts';

export const mebibyte = 1024 * 1024;
/** The disk that every copy is of, with holes and with data that does not compress. */
export const diskMiB = 4096;
const runTimeoutMs = 600_000;
const plainPort = 10_900;
const moveId = 'bench';

/** Two hosts with a cable between them, a disk on the first, and the product's data path on both. */
export class CopyStage {
  readonly source: LabHost;
  readonly target: LabHost;
  readonly sourcePath: string;
  readonly sizeBytes = diskMiB * mebibyte;
  readonly #from: DataPlaneClient;
  readonly #to: DataPlaneClient;

  private constructor(parts: {
    lab: Lab;
    path: string;
    from: DataPlaneClient;
    to: DataPlaneClient;
  }) {
    this.source = parts.lab.host('alpha');
    this.target = parts.lab.host('beta');
    this.sourcePath = parts.path;
    this.#from = parts.from;
    this.#to = parts.to;
  }

  /** All that it makes is registered with the context for its end. */
  static async open({ dir, say, defer, fillMiB }: BenchContext): Promise<CopyStage> {
    say(`two hosts, and a disk of ${diskMiB} MiB with ${fillMiB} MiB of data`);
    const lab = await Lab.up({
      dir: join(dir, 'lab'),
      name: `bench-${process.pid % 10_000}`,
      poolBytes: 14 * 1024 ** 3,
    });
    defer(() => lab.down());
    const vm = await lab.createVm('alpha', {
      name: 'bench',
      dataDisk: { sizeMiB: diskMiB, fillMiB },
    });
    const from = await DataPlaneClient.start(lab.host('alpha'), dir);
    defer(() => from.stop());
    const to = await DataPlaneClient.start(lab.host('beta'), dir);
    defer(() => to.stop());
    return new CopyStage({ lab, path: vm.diskPath, from, to });
  }

  /** The product's export: TLS, open to the target's certificate alone. */
  async openExport(): Promise<ExportEndpoint> {
    const { endpoint } = await this.#from.order({
      do: 'export',
      export: {
        migrationId: moveId,
        name: 'vda',
        path: this.sourcePath,
        format: 'raw',
        target: this.target.name,
      },
    });
    if (endpoint === undefined) throw new Error('the data path opened no export');
    return endpoint;
  }

  async closeExports(): Promise<void> {
    await this.#from.order({ do: 'close-exports', moveId });
  }

  /** An export without TLS, which the product has not. Ended by the result. */
  async openPlainExport(): Promise<{ uri: string; close: () => Promise<void> }> {
    const { address } = this.source;
    const server = this.source.spawn(
      [
        ...['qemu-nbd', '--read-only', '--persistent', '--shared=16', `--bind=${address}`],
        ...[`--port=${plainPort}`, '-x', 'vda', '--format=raw', '--', this.sourcePath],
      ],
      { stdio: 'inherit' },
    );
    const uri = `nbd://${address}:${plainPort}/vda`;
    await waitUntil(
      async () =>
        !(await this.target.exec(['nbdinfo', uri], { timeoutMs: 5000, reject: false })).failed,
      { what: 'the plain export', timeoutMs: 15_000, everyMs: 50 },
    );
    return {
      uri,
      close: async () => {
        const ended = once(server, 'exit');
        server.kill();
        await ended;
      },
    };
  }

  /** One copy by the product's own copier with journal and syncs; seconds. */
  async copy(from: { endpoint: ExportEndpoint } | 'plain', followed = false): Promise<number> {
    const path = await this.freshTarget('ours');
    const { address } = this.source;
    const source =
      from === 'plain' ? { plain: { address, port: plainPort, exportName: 'vda' } } : from;
    const { sizeBytes } = this;
    const { seconds } = await this.#to.order({
      ...{ do: 'copy', source, path, format: 'raw', sizeBytes, moveId, followed },
    });
    return seconds ?? Number.NaN;
  }

  /** Both sides hash their disk as a move does; the source while the copy runs. Rejects if they differ. */
  async verifiedCopy(endpoint: ExportEndpoint): Promise<number> {
    const start = performance.now();
    const [source] = await Promise.all([
      this.#from.order({ do: 'hash', path: this.sourcePath, format: 'raw', side: 'source' }),
      this.copy({ endpoint }, true),
    ]);
    const path = this.pathOf('ours');
    const target = await this.#to.order({ do: 'hash', path, format: 'raw', side: 'target' });
    if (source.root !== target.root) throw new Error('the copy differs from its source');
    return (performance.now() - start) / 1000;
  }

  pathOf(who: string): string {
    return `${this.target.poolPath}/${who}.raw`;
  }

  /** A path on the target where nothing lies; the deletion is done with before anything is timed. */
  async freshTarget(who: string): Promise<string> {
    const path = this.pathOf(who);
    await rm(this.target.rootOf(path), { force: true });
    await this.target.exec(['sync', '-f', this.target.poolPath], { timeoutMs: runTimeoutMs });
    return path;
  }

  /** Runs a shell line on the target; seconds. Rejects if it fails. */
  async time(line: string): Promise<number> {
    const start = performance.now();
    await this.target.exec(['sh', '-ec', line], { timeoutMs: runTimeoutMs });
    return (performance.now() - start) / 1000;
  }

  /** Rejects unless the copy reads as the source does. */
  async check(who: string): Promise<void> {
    const source = this.source.rootOf(this.sourcePath);
    await this.target.exec(['cmp', this.pathOf(who), source], { timeoutMs: runTimeoutMs });
  }
}
