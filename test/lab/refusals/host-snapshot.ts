import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { LabHost } from '../../../lab/host.ts';
import { must, soon } from './tiny-vm.ts';

/** Everything on a host that a move could touch, as text, so that two of them can be compared. */
export interface HostSnapshot {
  /** Of each VM state, ID of its run, autostart, managed save, snapshots and definition; the volumes of each pool. */
  libvirt: string;
  /** Files in each pool's folder, known to libvirt or not. */
  volumes: Record<string, string>;
  /** Ledger, moves, exports, hooks: path -> hash of the content. */
  files: Record<string, string>;
  /** TCP ports on which something listens: exports among them. */
  ports: string;
}

/** Reads a host that is at rest: a check that still runs would show in it. */
export async function snapshotOf(host: LabHost): Promise<HostSnapshot> {
  const pools = { default: host.poolPath, fast: host.fastPoolPath };
  const names = (await must(host, 'list', '--all', '--name')).split('\n').filter(Boolean).sort();
  // One virsh for all: entering a host and connecting costs more than the questions.
  const asked = [
    ...names.flatMap((name) => [
      ...[`echo domain ${name}`, `domstate ${name}`, `domid ${name}`, `dominfo ${name}`],
      ...[`snapshot-list ${name} --name`, `dumpxml ${name} --inactive --security-info`],
    ]),
    ...Object.keys(pools).flatMap((pool) => [`pool-refresh ${pool}`, `vol-list ${pool}`]),
  ];
  const [libvirt, { stdout }] = await Promise.all([
    must(host, asked.join('; ')),
    host.exec(['ss', '-ltnH'], soon),
  ]);
  const volumes: Record<string, string> = {};
  for (const [pool, path] of Object.entries(pools))
    volumes[pool] = (await readdir(host.rootOf(path))).sort().join();
  const files = {
    ...(await filesBelow(host, host.stateDir)),
    ...(await filesBelow(host, host.hooksDir)),
  };
  const ports = stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[3] ?? '')
    .sort()
    .join(' ');
  // Processor time runs on.
  return { libvirt: libvirt.replace(/^CPU time:.*$/gm, ''), volumes, files, ports };
}

const keptOnPurpose = ['locks', 'ended'];

async function filesBelow(host: LabHost, folder: string): Promise<Record<string, string>> {
  const root = host.rootOf(folder);
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  const files: Record<string, string> = {};
  for (const entry of found) {
    const path = join(entry.parentPath, entry.name);
    // The parts of a state folder come with their first use.
    if (entry.isDirectory() && entry.parentPath === root) continue;
    // Empty, and there on purpose: a lock's file is never removed, and the mark of a move that is over keeps out its
    // late attempts.
    if (folder === host.stateDir && keptOnPurpose.includes(relative(root, entry.parentPath)))
      continue;
    files[`${folder}/${relative(root, path)}`] = entry.isFile()
      ? createHash('sha256')
          .update(await readFile(path))
          .digest('hex')
      : 'folder';
  }
  return files;
}
