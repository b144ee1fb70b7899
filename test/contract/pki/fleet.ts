/** Two hosts of a fleet whose certificates `vmferry pki` made, and their data planes on loopback. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { configSchema } from '../../../config/schema.ts';
import type { HostConfig } from '../../../config/schema.ts';
import type { DiskSource } from '../../../domain/platform.ts';
import { Authority } from '../../../pki/authority.ts';
import { writeBundle } from '../../../pki/bundle.ts';
import { installBundle } from '../../../pki/install.ts';
import { NbdDataPlane } from '../../../workers/data-plane.ts';

export const migrationId = 'migrate/test/7d9e6a4c';
const diskBytes = 4 * 1024 * 1024;
const secondsOfDay = 86_400;

export class TestFleet {
  readonly dir: string;
  readonly authority: Authority;
  readonly disk: string;
  readonly content: Buffer;

  private constructor(dir: string) {
    this.dir = dir;
    this.authority = new Authority({ dir: join(dir, 'ca'), keyBits: 2048 });
    this.disk = join(dir, 'disk.raw');
    this.content = randomBytes(diskBytes);
  }

  static async make(): Promise<TestFleet> {
    const fleet = new TestFleet(await mkdtemp(join(tmpdir(), 'vmferry-pki-')));
    await fleet.authority.init();
    await writeFile(fleet.disk, fleet.content);
    for (const host of ['alpha', 'beta']) await fleet.issue(host);
    return fleet;
  }

  async close(): Promise<void> {
    await this.plane('alpha').closeExports(migrationId);
    await rm(this.dir, { recursive: true, force: true });
  }

  /** The host's `/etc/pki`. */
  pkiDir = (host: string): string => join(this.dir, host, 'pki');

  /** A new key for a host, by another authority if one is given. */
  async issue(host: string, authority = this.authority): Promise<void> {
    const subject = { role: 'host', name: host, dns: [], addresses: ['127.0.0.1'] } as const;
    const pair = await authority.issue(subject, { force: true });
    const bundle = await writeBundle(authority, subject, pair);
    await installBundle({ bundle, pkiDir: this.pkiDir(host), force: true });
  }

  /** The same key, a new certificate that ends after `seconds`. */
  async renew(host: string, seconds = secondsOfDay): Promise<void> {
    const { cert, facts } = await this.authority.renew(host, { days: seconds / secondsOfDay });
    const bundle = await writeBundle(this.authority, facts, { cert });
    await installBundle({ bundle, pkiDir: this.pkiDir(host) });
  }

  /** A list of nothing by an authority, good between two days, by another program than ours. */
  async list(authority: Authority, from: string, until: string): Promise<string> {
    const template = join(this.dir, 'list.template');
    await writeFile(
      template,
      `crl_this_update_date = "${from} 00:00:00"\ncrl_next_update_date = "${until} 00:00:00"\ncrl_number = 1\n`,
    );
    const { caCert, caKey } = authority.files;
    const signer = ['--load-ca-certificate', caCert, '--load-ca-privkey', caKey];
    const args = ['--generate-crl', ...signer, '--template', template];
    return (await promisify(execFile)('certtool', args, { timeout: 30_000 })).stdout;
  }

  /** As a worker of that host has it; made anew for each call, as a restart would. */
  plane = (host: string): NbdDataPlane => new NbdDataPlane(this.#config(host));

  #config(host: string): HostConfig {
    const first = 25_100 + (process.pid % 500) * 8 + (host === 'alpha' ? 0 : 4);
    const parsed = configSchema.parse({
      host: {
        name: host,
        stateDir: join(this.dir, host, 'state'),
        migrationAddress: '127.0.0.1',
        exportPorts: `${first}-${first + 3}`,
        tls: { dir: join(this.pkiDir(host), 'qemu') },
      },
    }).host;
    if (parsed === undefined) throw new Error('no section `host`');
    return parsed;
  }
}

const never = new AbortController().signal;

/** What alpha's worker does for a copy, and then beta's. */
export async function openFromBeta(fleet: TestFleet): Promise<DiskSource> {
  const endpoint = await fleet.plane('alpha').ensureExport({
    migrationId,
    name: 'vda',
    path: fleet.disk,
    format: 'raw',
    target: 'beta',
  });
  return fleet.plane('beta').openRemote(endpoint, { signal: never });
}

/** The whole disk through an open source. */
export async function readAll(source: DiskSource): Promise<Buffer> {
  const bytes = Buffer.alloc(diskBytes);
  await source.read(0, bytes, never);
  return bytes;
}
