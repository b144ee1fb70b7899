import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { LabHost } from '../../../lab/host.ts';
import { must, soon } from './tiny-vm.ts';

/** Everything on a host that a move could touch, as text, so that two of them can be compared. */
export interface HostSnapshot {
  /** Name -> state, ID of its run, autostart, managed save, snapshots and both definitions. */
  domains: Record<string, string>;
  /** Names in each pool. */
  volumes: Record<string, string>;
  /** Ledger, locks, moves, exports, hooks: path -> hash of the content. */
  files: Record<string, string>;
  /** TCP ports on which something listens: exports among them. */
  ports: string;
}

/** Reads a host that is at rest: a check that still runs would show in it. */
export async function snapshotOf(host: LabHost): Promise<HostSnapshot> {
  const names = (await must(host, 'list', '--all', '--name')).split('\n').filter(Boolean).sort();
  const domains: Record<string, string> = {};
  for (const name of names) domains[name] = await domainText(host, name);
  const volumes: Record<string, string> = {};
  for (const [pool, path] of Object.entries({ default: host.poolPath, fast: host.fastPoolPath })) {
    await must(host, 'pool-refresh', pool);
    volumes[pool] =
      `${await must(host, 'vol-list', pool)}\n${(await readdir(host.rootOf(path))).sort().join()}`;
  }
  const files = {
    ...(await filesBelow(host, host.stateDir)),
    ...(await filesBelow(host, host.hooksDir)),
  };
  const { stdout } = await host.exec(['ss', '-ltnH'], soon);
  const ports = stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[3] ?? '')
    .sort()
    .join(' ');
  return { domains, volumes, files, ports };
}

async function domainText(host: LabHost, name: string): Promise<string> {
  const asked = [
    ['domstate', name],
    ['domid', name],
    ['dominfo', name],
    ['snapshot-list', name, '--name'],
    ['dumpxml', name, '--inactive', '--security-info'],
  ];
  const said = [];
  for (const words of asked) said.push(await must(host, ...words));
  // Processor time runs on.
  return said.join('\n').replace(/^CPU time:.*$/m, '');
}

async function filesBelow(host: LabHost, folder: string): Promise<Record<string, string>> {
  const root = host.rootOf(folder);
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  const files: Record<string, string> = {};
  for (const entry of found) {
    const path = join(entry.parentPath, entry.name);
    // The parts of a state folder come with their first use.
    if (entry.isDirectory() && entry.parentPath === root) continue;
    files[`${folder}/${relative(root, path)}`] = entry.isFile()
      ? createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
      : 'folder';
  }
  return files;
}
